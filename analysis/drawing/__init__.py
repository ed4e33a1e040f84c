"""The parts of a figure of the front."""
