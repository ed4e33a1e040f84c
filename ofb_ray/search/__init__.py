"""The OFB search: supernet, losses, cuts, and the loop over epochs."""
