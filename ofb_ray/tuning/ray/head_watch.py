"""End a driver whose Ray head is gone, with a line that says how to go on; Ray itself would end it without one."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from types import TracebackType

# Ray gives a head that comes back (KubeRay's fault tolerance) 60 s, then it ends the process itself, in its own words.
PATIENCE_SECONDS = 40.0
PING_SECONDS = 5.0


def ping(address: str, timeout: float = PING_SECONDS) -> None:
    """Return if something listens at host:port.

    Raises:
        OSError: nothing answers within `timeout` seconds.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()


class HeadWatch:
    """Ping Ray's head every few seconds while the context lasts.

    After `PATIENCE_SECONDS` without an answer the process ends with exit code 1, from a thread: the main thread waits
    inside Ray, which no exception reaches. What is finished is on file already, and a resume needs nothing else.
    """

    def __init__(self, address: str) -> None:
        self._address, self._done = address, threading.Event()
        self._thread = threading.Thread(target=self._run, name="head-watch", daemon=True)

    def __enter__(self) -> HeadWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()

    def _run(self) -> None:
        answered = time.monotonic()
        while not self._done.wait(PING_SECONDS):
            try:
                ping(self._address)
                answered = time.monotonic()
            except OSError:
                if time.monotonic() - answered > PATIENCE_SECONDS and not self._done.is_set():
                    self._end()

    def _end(self) -> None:
        sys.stdout.flush()
        if sys.stdout.isatty():
            print("\x1b[?25h", end="", flush=True)  # the live table has hidden the cursor
        print(
            f"ofb-ray: the Ray cluster at {self._address} is gone: its head has not answered for "
            f"{PATIENCE_SECONDS:.0f} s. To go on, run the same command with --resume on a new cluster; "
            "finished trials are kept, the others continue from their checkpoints",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
