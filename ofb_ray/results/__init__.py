"""Read, write, index and lock what lies in a results folder or store. Imports neither torch, Ray nor Optuna."""
