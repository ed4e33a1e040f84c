"""Run the blocks of a tutorial as a reader does: in order, in one folder.

`bash` and `python` blocks are run, each in a new process; variables that a bash block exports are kept for later ones.
A block with a title is written to a file of that name. Every other block is only shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*each) for each in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def run(page: Path, folder: Path, **environment: str) -> str:
    """Run a tutorial in an empty folder.

    Returns:
        What its blocks print.
    Raises:
        AssertionError: a block fails; shows it with its output.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    printed = []
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language in ("bash", "python"):
            done = subprocess.run(
                _command(block),
                cwd=folder,
                env={**variables, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, f"{page.name}:\n{block.text}\n{done.stdout}"
            printed.append(done.stdout)
    return "".join(printed)


def _command(block: Block) -> list[str]:
    if block.language == "python":
        return [sys.executable, "-c", block.text]
    kept = "exported.sh"
    script = f"if [ -f {kept} ]; then source ./{kept}; fi\n{block.text}\nexport -p > {kept}"
    return ["bash", "-euo", "pipefail", "-c", script]
