"""Sweeps: Optuna chooses, Ray Tune runs. Only this folder imports ray and optuna, and only some of its modules do."""
