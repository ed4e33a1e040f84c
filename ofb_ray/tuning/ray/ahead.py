"""Start Ray on this machine in a thread while the driver imports torch and makes its plans, and end it in the same way.

Both take seconds and neither needs the other. If the plans show that the input is bad, Ray is ended again; and while
it ends, the last screen is on its way.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import threading
import warnings
from typing import Any, ClassVar

from ofb_ray.tuning.ray.resources import Machine

QUIET: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
# What a driver imports once it has Ray, and at its end.
_LATER = ("ofb_ray.tuning.execute", "analysis.gate", "analysis.pareto")


class Ahead:
    """Ray on this machine, on its way. The process does not end before it has.

    Args:
        machine: what Ray may use of it.
    """

    running: ClassVar[list[Ahead]] = []  # of this process, those included that are about to end

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._error: BaseException | None = None
        self._ready, self._over = threading.Event(), threading.Event()
        self.dashboard = ""
        # Ray's processes die with the thread that started them: it lives as long as they do.
        self._thread = threading.Thread(target=self._run, name="ray-start")
        self.running.append(self)
        self._thread.start()

    def join(self) -> None:
        """Wait until Ray has started; raises what kept it from that."""
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def end(self, wait: bool = False) -> None:
        """Have it ended, and perhaps wait for that."""
        self._over.set()
        if wait:
            self._thread.join()

    def _run(self) -> None:
        try:
            wait_for_earlier()
            self.dashboard = start_local(self._machine)
        except BaseException as error:
            self._error = error
        self._ready.set()
        for name in _LATER:
            if not self._over.is_set():
                with contextlib.suppress(Exception):  # who needs it will hear of it
                    importlib.import_module(name)
        # Whoever was to say so may have died of a Ctrl-C: the interpreter's end is one, too.
        while not self._over.wait(1.0) and threading.main_thread().is_alive():
            pass
        import ray

        with contextlib.suppress(Exception):
            ray.shutdown()
        self.running.remove(self)


def wait_for_earlier() -> None:
    """Wait until Ray of launches that are over has ended: its end would take the next one of this process with it."""
    for each in list(Ahead.running):
        if each._over.is_set() and each._thread is not threading.current_thread():
            each._thread.join()


def start_local(machine: Machine) -> str:
    """Start Ray on this machine; returns the address of its dashboard, if it has one."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    # A trial runs in a thread of its own, for which glibc keeps memory apart: a reused process would grow by it.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    import ray

    # "local", because Ray would else join any cluster that an environment variable or /tmp/ray tells it of.
    options: dict[str, Any] = {"num_cpus": machine.cpus, "num_gpus": machine.gpus}
    options["include_dashboard"] = _dashboard_installed()
    context: Any = ray.init(address="local", **options, **QUIET)
    return str(context.dashboard_url or "")


def _dashboard_installed() -> bool:
    """Whether Ray came with its dashboard, as `ray[default]` does."""
    return importlib.util.find_spec("aiohttp_cors") is not None
