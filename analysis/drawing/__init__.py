"""Draw the parts of a figure of the front."""
