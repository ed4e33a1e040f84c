"""Ray for the time of a launch: started on this machine, or a running cluster joined."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from ofb_ray.errors import InputError
from ofb_ray.spec import SweepSpec
from ofb_ray.tuning.resources import check_nodes, local_gpus, local_slots


def _knock(address: str) -> None:
    """Fail at once where nothing listens at host:port; Ray itself would try for more than a minute.

    Raises:
        OSError: nothing answers.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


@contextmanager
def session(spec: SweepSpec, address: str | None) -> Iterator[int]:
    """Ray for the time of a launch; yields how many trials run at a time."""
    gpus = local_gpus(spec) if address is None else 0
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address is None:
        # "local", because Ray would else join any cluster that an environment variable or /tmp/ray tells it of.
        ray.init(address="local", num_cpus=os.cpu_count(), num_gpus=gpus, include_dashboard=False, **quiet)
    else:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster answers: {str(error).splitlines()[0]}", key="--address") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        list_nodes: Any = ray.nodes
        nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
        fits = check_nodes(spec, "the cluster" if address else "this machine", nodes)
        # A cluster may grow while the sweep runs, so there `concurrent` is taken as it is.
        yield spec.resources.concurrent or fits if address else local_slots(spec)
    finally:
        ray.shutdown()
