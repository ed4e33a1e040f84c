"""The Optuna study of a sweep. The only folder that imports optuna."""
