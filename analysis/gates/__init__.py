"""Judge early stopping from recorded curves."""
