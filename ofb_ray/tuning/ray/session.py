"""Ray for the time of a launch: started on this machine, or a running cluster joined."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.tuning.console.steps import step
from ofb_ray.tuning.ray.ahead import QUIET, Ahead, start_local, wait_for_earlier
from ofb_ray.tuning.ray.head_watch import HeadWatch, ping
from ofb_ray.tuning.ray.resources import Machine, check_nodes

_TOKEN = (
    "the cluster wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) "
    "to the one that its head was started with"
)


@contextmanager
def session(
    spec: SweepSpec, address: str | None, machine: Machine | None = None, ahead: Ahead | None = None
) -> Iterator[int]:
    """Have Ray for the time of a launch; yields how many trials run at a time.

    Args:
        spec: the sweep.
        address: of a running cluster; None starts Ray on this machine.
        machine: this machine; needed where there is no address.
        ahead: Ray on this machine, if it is on its way already.
    Raises:
        InputError: the cluster does not answer, lacks our token or runs other versions; or no trial fits on it.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    if address is None:
        assert machine is not None
        with step("waiting for Ray"):
            if ahead is None:
                wait_for_earlier()
                dashboard = start_local(machine)
            else:
                ahead.join()
                dashboard = ahead.dashboard
        _restore_sigterm(on_sigterm)
        if dashboard:
            print(f"Ray's dashboard: http://{dashboard}", flush=True)
    else:
        with step(f"joining the Ray cluster at {address}"):
            _join(address, QUIET)
        _restore_sigterm(on_sigterm)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with HeadWatch(ray.get_runtime_context().gcs_address):
            yield machine.slots if machine is not None else _cluster_slots(spec)
            _end(ahead)
    finally:
        _end(ahead)
        _restore_sigterm(on_sigterm)


def _end(ahead: Ahead | None) -> None:
    """End Ray, or have it ended by the thread that started it."""
    if ahead is None:
        ray.shutdown()
    else:
        ahead.end()


def _restore_sigterm(handler: Any) -> None:
    """Put the caller's handler back: Ray takes SIGTERM for a crash, whose stack it prints, and leaves the default."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Join the cluster at `address`.

    Raises:
        InputError: that is impossible; says why.
    """
    if "://" in address:
        raise InputError(
            f"{address!r} drives a cluster from outside: run the command on one of its nodes with --address auto, "
            "or through `ray job submit`",
            key="--address",
        )
    printed = ""
    try:
        if ":" in address:
            ping(address)  # where nothing listens Ray would try for more than a minute
        with _captured_stderr() as read:
            try:
                ray.init(address=address, **quiet)
            except Exception:
                printed = read()
                raise
    except ray.exceptions.AuthenticationError:
        raise InputError(_TOKEN, key="--address") from None
    except (OSError, ValueError, RuntimeError) as error:
        if "InvalidAuthToken" in printed:
            raise InputError(_TOKEN, key="--address") from None
        if str(error).startswith("Version mismatch"):
            versions = " ".join(str(error).split())
            raise InputError(f"{versions}: use the cluster's Python and Ray here", key="--address") from None
        raise InputError(f"no Ray cluster answers: {str(error).splitlines()[0]}", key="--address") from None


def _cluster_slots(spec: SweepSpec) -> int:
    """Count the trials that run at a time. A cluster may grow while the sweep runs, so `concurrent` is taken as it is.

    Raises:
        InputError: no trial fits, and no `concurrent` says that the cluster will grow.
    """
    list_nodes: Any = ray.nodes
    try:
        fits = check_nodes(spec, "the cluster", [node["Resources"] for node in list_nodes() if node["Alive"]])
    except InputError as error:
        if spec.resources.concurrent is None:
            raise InputError(
                f"{error.message}, or set resources.concurrent if the cluster grows by itself", key=error.key
            ) from None
        print(f"note: {error.message.partition(':')[0]} now: waiting for the cluster to grow", flush=True)
        fits = 0
    return spec.resources.concurrent or fits


@contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """Keep what is written to stderr, by Ray's C++ parts too, off the terminal; yields what reads it."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def read() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield read
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
