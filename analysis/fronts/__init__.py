"""What the trials say of accuracy over cost: objectives, seeds, budgets, fronts, volumes, published rivals."""
