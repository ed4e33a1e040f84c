"""Latency as a cost: what the sizes of a network cost on a device, measured on few networks and told as tables."""
