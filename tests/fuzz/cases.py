"""Run one command on bad input in a process of its own, and judge what came of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofb_ray.errors import printable
from tests.processes import Forked
from tests.tuning.test_launch import ROOT

SECONDS, MIB = 20.0, 1024
LINE = 300


@dataclass(frozen=True)
class Case:
    """What is run: the command line, and what its folder holds.

    Args:
        name: says what was changed, to find it again.
        arguments: of `ofb-ray`, or after `analysis` those of the module that comes next.
        folder: the case's own; the command runs in `folder`/a/work.
    """

    name: str
    arguments: tuple[str, ...]
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "a" / "work"


def prepare(folder: Path) -> Path:
    """Make the folder of a case: beside what the mutators put into paths, an empty working folder; return that."""
    work = folder / "a" / "work"
    work.mkdir(parents=True)
    os.mkfifo(work / "fifo")
    (work / "loop").symlink_to(work / "loop")
    (work / "folder").mkdir()
    return work


def judge(case: Case) -> str:
    """Run a case and say what is wrong with how it ended; empty: exit code 0, or 2 and one line."""
    before = _outside(case)
    report = case.folder / "report.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(case.work),
        "OFB_RAY_CACHE": str(case.work / "cache"),
        "TERM": "dumb",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    start = time.monotonic()
    process = Forked(_run, list(case.arguments), str(report), cwd=case.work, env=environment)
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"still running after {SECONDS:.0f} s"
    seconds = time.monotonic() - start
    lines = error.splitlines()
    told = " | ".join(lines[-3:])[-600:]
    found = []
    compared = process.returncode == 1 and "differs from the record" in out  # which is made up, and was run again
    if process.returncode not in (0, 2) and not compared:
        found.append(f"exit code {process.returncode}: {told}")
    elif process.returncode == 2 and (len(lines) != 1 or len(lines[0]) > LINE):
        found.append(f"{len(lines)} lines of up to {max(map(len, lines), default=0)} characters: {told}")
    if printable(out + error) != out + error:
        found.append(f"unprintable output: {(out + error)[:200]!r}")
    if report.exists() and (grown := json.loads(report.read_text())["grown_mib"]) > MIB:
        found.append(f"grew by {grown:.0f} MiB")
    report.unlink(missing_ok=True)
    if new := _outside(case) - before:
        found.append(f"wrote outside of its folder: {sorted(new)[:3]}")
    if (case.work / "pwned").exists():
        found.append("ran what the input said")
    return "; ".join(found) and f"{'; '.join(found)} ({seconds:.1f} s)"


def keep(case: Case, to: Path) -> None:
    """Keep a case's folder to look at."""
    with_links = {"symlinks": True, "ignore_dangling_symlinks": True, "ignore": shutil.ignore_patterns("fifo")}
    shutil.copytree(case.folder, to, **with_links)  # type: ignore[arg-type]
    (to / "command.json").write_text(json.dumps([case.name, *case.arguments]))


def _outside(case: Case) -> set[str]:
    found = set()
    for folder, folders, files in os.walk(case.folder):
        folders[:] = [name for name in folders if Path(folder, name) != case.work]
        found |= {os.path.join(folder, name) for name in (*folders, *files)}
    return found - {str(case.folder / "report.json")}


def _run(arguments: Sequence[str], report: str) -> int:
    """In the new process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code: object = 1
    try:
        code = _command(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    Path(report).write_text(json.dumps({"grown_mib": grown}))
    sys.stdout.flush()
    return code if isinstance(code, int) else 1


def _command(arguments: Sequence[str]) -> int:
    if arguments[0] == "load":
        return _loaded(arguments[1])
    if arguments[0] == "analysis":
        import importlib

        main: Callable[[Sequence[str]], int | None] = importlib.import_module(arguments[1]).main
        return main(list(arguments[2:])) or 0
    from ofb_ray.cli import main as ofb_ray

    return ofb_ray(list(arguments))


def _loaded(folder: str) -> int:
    import ofb_ray
    from ofb_ray.errors import InputError, one_line

    try:
        ofb_ray.load(folder)
    except (InputError, FileNotFoundError) as error:
        print(one_line(str(error)), file=sys.stderr)
        return 2
    return 0
