"""Make the report's table of networks in int8 beside themselves in float32."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.trials.trial import Results, Trial
from ofb_ray.results.int8 import Int8File

TITLE = "In int8"
_SHOWN = 6


def int8_table(results: Results) -> tuple[list[str], list[list[str]]] | None:
    """Return head and rows, a row for each trial that was exported in int8; None where none was.

    Differences are those on the same test images; a ratio of times is of one interleaved run.
    """
    made = [(trial, facts) for trial in results.by_status("finished") if (facts := _read(trial)) is not None]
    if not made:
        return None
    batches = sorted({ratio.batch for _, facts in made if facts.latency for ratio in facts.latency.ratios})
    head = ["trial", "budget", "top-1 test float32 (%)", "top-1 test int8 (%)", "difference (points)"]
    head += ["float32 (MB)", "int8 (MB)", *(f"time / float32, batch {batch}" for batch in batches)]
    return [*head, "layers in float32", "int8 of the CPU"], [[*_row(*each, batches)] for each in made]


def _read(trial: Trial) -> Int8File | None:
    """Read what is known of a trial in int8; None where the file is missing, torn or foreign."""
    try:
        return Int8File.read(trial.folder)
    except (OSError, ValueError):
        return None


def _row(trial: Trial, facts: Int8File, batches: list[int]) -> Iterator[str]:
    yield str(trial.name)
    yield trial.budget
    for value in (facts.top1_test_float32, facts.top1_test):
        yield "" if value is None else f"{value:.2f}"
    yield "" if facts.drop is None else f"{-facts.drop:+.2f} ± {facts.test_error or 0:.2f}"
    for size in (facts.bytes_float32, facts.bytes_int8):
        yield f"{size / 1e6:.2f}"
    ratios = {ratio.batch: ratio.float32_ratio for ratio in (facts.latency.ratios if facts.latency else ())}
    for batch in batches:
        yield f"{ratios[batch]:.2f}" if batch in ratios else ""
    names = [layer.name for layer in facts.float_layers]
    more = f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else ""
    yield f"{len(names)} of {facts.layers}" + (f": {', '.join(names[:_SHOWN])}{more}" if names else "")
    yield ("fast: " if facts.fast else "not fast: ") + (", ".join(facts.instructions) or "none known")
