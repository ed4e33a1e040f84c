"""Fronts, figures and tables from the records of finished trials. Imports neither torch nor Ray."""
