"""Show on one line how far a trial is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[dict[str, Any]], None]
_PHASES = {"dense": "dense", "search": "search", "finetune": "fine-tune", "done": "done"}


@contextlib.contextmanager
def progress_bar(title: str, quiet: bool) -> Iterator[Report]:
    """Show a progress bar on stderr while the block runs; yields what a trial reports to.

    Args:
        title: in front of the phase.
        quiet: show nothing.
    """
    if quiet:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[top1]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(f"{title}dense", total=1.0, top1="")

        def report(facts: dict[str, Any]) -> None:
            phase = _PHASES.get(facts["phase"], facts["phase"])
            text = f"{title}{phase}" + (f" {facts['epoch']}/{facts['epochs']}" if facts["epochs"] else "")
            bars.update(task, description=text, completed=facts["progress"])
            if facts.get("top1_val") is not None:
                bars.update(task, top1=f"val {facts['top1_val']:.1f} %")

        yield report
