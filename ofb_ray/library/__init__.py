"""What `import ofb_ray` offers in Python: compress a network, describe its search space, draw a front of budgets."""
