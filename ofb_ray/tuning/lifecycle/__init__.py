"""What becomes of a trial beside its training: outcomes, failures, retries, early stops, promotion."""
