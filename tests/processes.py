"""Real processes that begin with torch and timm imported: a killed one costs its own work, not their import.

They are forked from a server that is started once for each process of pytest; see the standard library's forkserver.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

# Neither Ray nor Optuna: what they read of the environment is set only in the process that imports them.
PRELOADED = ["ofb_ray.cli", "ofb_ray.trial.run", "analysis.pareto"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


class Forked:
    """A process with the part of `subprocess.Popen` that tests use; its output is text, its session its own."""

    def __init__(self, call: Callable[..., Any], *arguments: Any, cwd: Path, env: Mapping[str, str]) -> None:
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
        writers = tuple(writer for _, writer in pipes)
        self._process = CONTEXT.Process(target=_run, args=(call, arguments, str(cwd), dict(env), *writers))
        self._process.start()
        for writer in writers:
            writer.close()
        self.stdout, self.stderr = (_text(reader) for reader, _ in pipes)
        assert self._process.pid is not None
        self.pid = self._process.pid
        atexit.register(self.kill)  # before multiprocessing, which would wait for it

    @property
    def returncode(self) -> Any:  # a number once it has ended, as subprocess has it
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired if it still runs after `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it writes until it ends; subprocess.TimeoutExpired if that takes more than `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        texts = ["", ""]

        def read(index: int, stream: TextIO) -> None:
            texts[index] = stream.read()

        readers = [
            threading.Thread(target=read, args=(index, stream), daemon=True)
            for index, stream in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if end is None else max(0.0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(str(self._process), timeout or 0)
        self.wait(None if end is None else max(0.1, end - time.monotonic()))
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def ofb_ray(arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Forked:
    """Start `ofb-ray` with these arguments in a process of its own."""
    return Forked(_ofb_ray, list(arguments), cwd=cwd, env=env)


def _ofb_ray(arguments: list[str]) -> int:
    from ofb_ray.cli import main

    return main(arguments)


def _text(reader: Connection) -> TextIO:
    stream = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
    reader.close()
    return stream


def _run(
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
    cwd: str,
    env: dict[str, str],
    out: Connection,
    err: Connection,
) -> None:
    """In the new process: take session, folder, environment and output, then call; the result is the exit code."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path]
    for connection, number in ((out, 1), (err, 2)):
        os.dup2(connection.fileno(), number)
        connection.close()
    code = call(*arguments)
    atexit._run_exitfuncs()
    sys.exit(code)
