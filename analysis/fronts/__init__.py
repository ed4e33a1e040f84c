"""Derive accuracy over cost from trials: objectives, seeds, budgets, fronts, volumes."""
