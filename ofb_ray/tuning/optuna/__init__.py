"""Suggest a sweep's trials by Optuna. The only folder that imports optuna."""
