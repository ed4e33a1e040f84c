"""Say what takes its time before the trials of a sweep are shown: a line with a clock on a terminal, else a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Step = Callable[[str], AbstractContextManager[None]]


def silent(_: str) -> AbstractContextManager[None]:
    """Say nothing."""
    return nullcontext()


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is done inside, on standard output; on a terminal with the seconds so far, until it is done."""
    if not sys.stdout.isatty():
        print(text, flush=True)
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=Console(highlight=False), transient=True) as shown:
        shown.add_task(text, total=None)
        yield
