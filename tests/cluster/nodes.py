"""Ray clusters of several nodes on loopback, each node a session of processes that can be killed as a whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
TOKEN = "0123456789abcdef" * 2


# Above those that the kernel gives out by itself: no process beside us gets one before its node has started.
_PORTS = iter(random.SystemRandom().sample(range(61000, 65536), 4536))


def free_port() -> int:
    """A port that was not returned before and is free now."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def wait_for(condition: Callable[[], Any], seconds: float = 60, what: str = "it did not happen") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def session_of(process: int) -> int:
    """The session that a process belongs to; 0 if it is gone. Ray gives trials a process group of their own."""
    try:
        return os.getsid(process)
    except OSError:
        return 0


def kill_session(leader: int) -> None:
    """Kill every process of a session at once, as a power cut does."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and session_of(int(entry.name)) == leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


class Nodes:
    """A head at 127.0.0.1 and further nodes at 127.0.0.2, 127.0.0.3 and so on, with tokens as on a real cluster.

    Args:
        folder: of the nodes' logs.
        temporary: folder of Ray's sockets, whose paths may only be short.
        host: address of the head, in place of 127.0.0.1.
        environment: variables of the nodes, and so of the trials.
    """

    def __init__(self, folder: Path, temporary: str, host: str = "127.0.0.1", **environment: str) -> None:
        self._folder, self._host = folder, host
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "TERM": "dumb",
            **environment,
        }
        self.environment["PYTHONPATH"] = str(ROOT)  # the nodes know the trial function, too
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.address = f"{host}:{self.port}"
        options = [f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={temporary}"]
        options += ["--num-cpus=0", f"--ray-client-server-port={free_port()}"]
        self.head = self._start(host, "--head", *options)

    def add(self, cpus: int, host: str | None = None, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start one more node; returns at once.

        Args:
            host: its address, in place of the next one of loopback.
            through: a command that runs it, such as `ip netns exec NAME`.
        """
        host = host or f"127.0.0.{len(self.processes) + 1}"
        return self._start(host, f"--address={self.address}", f"--num-cpus={cpus}", through=through)

    def alive(self) -> int:
        """The nodes that the cluster counts."""
        answer = subprocess.run(
            [sys.executable, "-c", _COUNT, self.address], env=self.environment, capture_output=True, text=True
        )
        return int(answer.stdout.split()[-1]) if answer.returncode == 0 else 0

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        kill_session(node.pid)
        node.wait()

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((self._host, self.port), timeout=1).close()
            return True
        return False

    def _start(self, host: str, *options: str, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        line = ["ray", "start", *options, "--block", "--disable-usage-stats", f"--node-ip-address={host}"]
        line += ["--object-store-memory=100000000", f"--dashboard-agent-listen-port={free_port()}"]
        line += ["--min-worker-port=0", "--max-worker-port=0"]
        line[0] = str(Path(sys.executable).with_name("ray"))
        with (self._folder / f"node{len(self.processes) + 1}.log").open("w") as log:
            process = subprocess.Popen(
                [*through, *line], env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.processes.append(process)
        return process


_COUNT = """
import sys
from ray._raylet import GcsClient
print(sum(node.state == 0 for node in GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5).values()))
"""


@contextlib.contextmanager
def running(folder: Path, temporary: str, workers: tuple[int, ...] = (), **environment: str) -> Iterator[Nodes]:
    """A cluster with a head that runs no trial and a node for each number of CPUs, all of them up."""
    nodes = Nodes(folder, temporary, **environment)
    try:
        wait_for(nodes.answers, what="the head did not start")
        for (
            cpus
        ) in workers:  # one after the other: nodes of one machine choose the names of their sockets by what is there
            nodes.add(cpus)
            wait_for(lambda: nodes.alive() == len(nodes.processes), what="a node did not join")
        yield nodes
    finally:
        for node in nodes.processes:
            nodes.kill(node)
