"""Small commands of `ofb-ray` that train nothing: the shipped sweeps, versions, shell completion."""
