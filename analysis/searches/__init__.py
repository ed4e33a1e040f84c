"""Draw what searches decided: widths, score maps, trajectories, importance of the explored parameters."""
