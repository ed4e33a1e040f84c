"""What lies in a results folder or store: records, trial files, locks and leases. Neither torch, Ray nor Optuna."""
