"""Choose the address at which the workers of a trial meet; without torch, so that they start before it is imported."""

from __future__ import annotations

import socket


def free_address(host: str) -> str:
    """Return `host:port` with a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{host}:{probe.getsockname()[1]}"
