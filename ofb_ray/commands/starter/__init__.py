"""What `ofb-ray init` finds out and chooses: images, weights, machine, a sweep that fits them, and its text."""
