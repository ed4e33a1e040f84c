"""Early stopping, judged from recorded curves."""
