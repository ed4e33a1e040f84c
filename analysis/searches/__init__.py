"""What the searches found: widths, score maps, trajectories, what the explored parameters matter."""
