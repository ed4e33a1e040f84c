"""What a user sees of a running sweep: a table on a terminal, plain lines elsewhere, and the time that is left."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ofb_ray.config import PHASES, Chain, SweepSpec
from ofb_ray.results.cells import plain_cell
from ofb_ray.results.driving import DriverFacts
from ofb_ray.results.facts import TrialFacts
from ofb_ray.results.files import Progress, TrialFile
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.console.status import status_text
from ofb_ray.tuning.console.summary import TrialView, by_budget, seconds_left, view_of
from ofb_ray.tuning.console.words import best, clock, describe_outcome
from tests.tuning.fake import make_record

SPEC = SweepSpec.model_validate(
    {
        "name": "s",
        "budgets": [0.25, 0.5],
        "trials": 4,
        "dense": {"epochs": 10},
        "search": {"epochs": 20},
        "finetune": {"epochs": 10},
        "parameters": {
            "search.lr": {"min": 1e-4, "max": 1e-2},
            "search.epochs": {"values": [20, 40]},
        },
    }
)
PARAMS = {"search.lr": 0.00123, "search.epochs": 20}


def trial(number: int, **params: Any) -> TrialFile:
    cell = SPEC.cells[number % 2]
    label, known = cell["budget"].label, {**PARAMS, **params}
    return TrialFile(trial=number, key="k", cell=plain_cell(cell), label=label, params=known, spec={})


def report(phase: str, epoch: int, progress: float, **more: float) -> Progress:
    return Progress(phase=phase, epoch=epoch, epochs=20, progress=progress, loss=1.0, **more)


def record(number: int, **changes: Any) -> Record:
    seconds = {"dense": 1000.0, "search": 20.0, "finetune": 10.0}
    return make_record(SPEC.trial(SPEC.cells[number % 2], {}), number, **{"seconds": seconds, **changes})


def shown(console: Console, facts: list[TrialFacts] | None = None) -> Display:
    """Trial 0 finished, 1 failed, 2 searching, 3 fine-tuning, 4 died, 5 in its dense network, two more to come."""
    live = Display(SPEC, facts or [], 8, console)
    for number in range(6):
        live.progress(trial(number), report("dense", 4, 0.1))
    live.progress(trial(2), report("search", 10, 0.5, top1_val=81.25, expected_macs=340_000))
    live.progress(trial(3), report("finetune", 6, 0.9, top1_val=85.0))
    live.ended(trial(0), record(0), "")
    live.ended(trial(1), record(1, status="failed", reason="loss is [NaN]", subnet=None), "")
    live.ended(trial(4), None, "killed thrice")
    return live


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_sums_up_budgets_and_cuts_only_what_may_be_cut(width: int) -> None:
    out = Console(record=True, width=width, height=30, force_terminal=True, file=io.StringIO(), _environ={})
    out.print(shown(Console(width=width, height=30, force_terminal=True, file=io.StringIO(), _environ={}))._render())
    lines = out.export_text().splitlines()
    assert all(len(line) <= width for line in lines)
    words = [line.split() for line in lines]
    heads = ["budget", "wait", "dense", "search", "finetune", "done", "failed", "epochs", "best", "top-1", "val"]
    assert heads in words
    # 0.25: trials 0, 2, 4; one more to come
    assert ["0.25", "1", "1", "1", "1", "64/160", "92.5", "%", "at", "250k"] in words
    assert ["0.5", "1", "1", "1", "1", "80/160"] in words
    running = next(line for line in lines if line.startswith("2 "))
    for text in ("search", "10/20", "81.2 %", "340k", "lr=0.00123"):
        assert text in running
    assert "2 of 8 done" in lines[-1]


def test_without_a_terminal_there_are_plain_lines_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("ofb_ray.tuning.console.live.time.monotonic", lambda: clock[0])
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    live = shown(Console(file=out, force_terminal=False, width=80))
    first = out.getvalue().splitlines()
    assert len(first) == 6 + 2 + 2 + 1  # each phase that began, each record, each death; no summary yet
    assert "trial 2 (budget 0.25; lr=0.00123 epochs=20): search" in first
    assert any(line.startswith("trial 1 failed: loss is [NaN]") for line in first)
    for second in range(150):
        clock[0] += 1
        live.progress(trial(2), report("search", 11 + second // 30, 0.55, top1_val=82.0))
    summaries = out.getvalue().splitlines()[len(first) :]
    # At first each ten seconds, later each minute or after a fifth of the time so far.
    assert len(summaries) == 10
    assert summaries[0].startswith("2 of 8 done, about ")
    assert "; 0.25: best 92.5 % at 250k MACs, 1 running, 1 failed; 0.5: 2 running, 1 failed" in summaries[0]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    out = io.StringIO()
    with Display(SPEC, [], 8, Console(file=out, force_terminal=True, _environ={"TERM": "dumb"})) as live:
        live.note("a line")
    assert out.getvalue() == "starting trials: 8 to run\na line\n"


def test_notes_with_brackets_are_shown_as_they_are_above_the_table() -> None:
    out = io.StringIO()
    with Display(
        SPEC, [], 8, Console(file=out, force_terminal=True, width=80, _environ={"TERM": "xterm"}, color_system=None)
    ) as live:
        live.note("trial 1 died: [Errno 28] No space [/red]")
    assert "[Errno 28] No space [/red]" in out.getvalue()


@pytest.mark.parametrize(
    ("slots", "seconds", "left"),
    [
        (1, (20.0, 40.0), 135.0),  # 8 - 2 done - 1.5 under way = 4.5 trials of 30 s
        (2, (20.0, 40.0), 67.5),
        (2, (None, None), None),
    ],
)
def test_time_left_by_what_finished_trials_took(
    slots: int, seconds: tuple[float | None, ...], left: float | None
) -> None:
    views = [TrialView(n, "0.5", "finished", 40, progress=1.0, seconds=second) for n, second in enumerate(seconds)]
    views += [TrialView(2, "0.5", "running", 40, "search", 0.5), TrialView(3, "0.5", "waiting", 40, "finetune", 1.0)]
    assert seconds_left(views, 8, slots) == left


def test_what_is_told_before_an_epoch_is_printed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("ofb_ray.tuning.console.live.time.monotonic", lambda: clock[0])
    out = io.StringIO()
    live = Display(SPEC, [], 8, Console(file=out, force_terminal=False, width=80))
    for second in range(10):
        message = f"decoded {second} of 10 images"
        live.progress(trial(0), report("search", 0, 0.0).model_copy(update={"message": message}))
        clock[0] += 1
    assert [line.rpartition(": ")[2] for line in out.getvalue().splitlines()] == [
        "decoded 0 of 10 images",
        "decoded 5 of 10 images",
    ]


def test_a_terminal_shows_what_a_trial_does_before_its_first_epoch_and_that_the_first_process_starts() -> None:
    def screen(live: Display) -> str:
        out = Console(record=True, width=120, height=30, force_terminal=True, file=io.StringIO(), _environ={})
        out.print(live._render())
        return out.export_text()

    live = Display(SPEC, [], 8, Console(width=120, height=30, force_terminal=True, file=io.StringIO(), _environ={}))
    assert "0 of 8 done; starting the first process: 0 s" in screen(live)
    live.progress(trial(0), report("dense", 0, 0.0).model_copy(update={"message": "reading the data"}))
    assert "starting" not in screen(live)
    assert "reading the data" in screen(live)
    live.progress(trial(0), report("dense", 1, 0.0))
    assert "reading the data" not in screen(live)


def test_time_left_after_a_resume_comes_from_earlier_records_without_the_shared_dense_network() -> None:
    facts = [TrialFacts(0, "finished", trial(0), outcome=record(0).outcome)]
    live = Display(SPEC, facts, 8, Console(file=io.StringIO(), force_terminal=False))
    assert live._left() == 7 * 30.0


def test_epochs_follow_the_explored_values_and_budgets_keep_the_files_order() -> None:
    facts = [
        TrialFacts(0, "finished", trial(0, **{"search.epochs": 40}), outcome=record(0).outcome),
        TrialFacts(2, "running", trial(2), Progress(phase="search", progress=0.5)),
    ]
    first, second = by_budget(SPEC, [view_of(SPEC, fact) for fact in facts], 8)
    assert (first.label, first.epochs_done, first.epochs) == ("0.25", 60 + 20, 60 + 40 + 2 * 40)
    assert (second.label, second.epochs_done, second.epochs) == ("0.5", 0, 4 * 40)
    assert (first.counts["waiting"], second.counts["waiting"]) == (2, 4)
    text = status_text(TrialIndex(Path(), SPEC, facts), DriverFacts("unknown"), "results/s", 100)
    assert "92.5 % at 250k" in text
    assert "1 of 8 done (1 finished, 1 running, 6 waiting), about 3 min left with 1 trial at a time" in text


def test_the_later_budgets_of_a_chain_have_its_epochs() -> None:
    spec = SPEC.model_copy(update={"budgets": SPEC.budgets[::-1], "chain": Chain(epochs=2)})
    link = trial(1).model_copy(update={"spec": {"chain": {"epochs": 2, "above": [{"macs_ratio": 0.5}]}}})
    whole = sum(getattr(spec, phase).epochs for phase in PHASES)
    short = whole - spec.search.epochs + 2
    assert view_of(spec, TrialFacts(1, "waiting", link)).epochs == short
    assert [line.epochs for line in by_budget(spec, [], 4)] == [2 * whole, 2 * short]


def test_trials_that_wait_are_told_at_the_budgets_that_will_have_them() -> None:
    """A sweep of five trials a budget that now asks for two of each budget, one of which is new."""
    views = [TrialView(number, label, "finished", 60) for number, label in enumerate(["0.25"] * 5)]
    assert [line.counts["waiting"] for line in by_budget(SPEC, views, 7)] == [0, 2]


def test_the_clock_of_a_trial_ticks_in_seconds() -> None:
    assert [clock(seconds) for seconds in (0.4, 34.9, 301, 7800)] == ["0:00", "0:34", "5:01", "2:10:00"]


@pytest.mark.parametrize("width", [80, 120])
def test_what_running_trials_say_stands_whole_below_the_table(width: int) -> None:
    live = Display(SPEC, [], 8, Console(width=width, height=30, force_terminal=True, file=io.StringIO(), _environ={}))
    message = "measuring sensitivities: 3 of 25 axes, 40 s left"
    live.progress(trial(1), report("search", 0, 0.0).model_copy(update={"message": message}))
    out = Console(record=True, width=width, height=30, force_terminal=True, file=io.StringIO(), _environ={})
    out.print(live._render())
    assert f"trial 1: {message}" in [line.strip() for line in out.export_text().splitlines()]
    live.progress(trial(1), report("search", 1, 0.1))
    out.print(live._render())
    assert message not in out.export_text(clear=True).rpartition("trial")[2]


def test_a_budget_of_latency_is_told_in_milliseconds() -> None:
    view = TrialView(0, "latency 0.4", "running", 10)
    ended = record(0)
    assert ended.subnet is not None
    timed = ended.model_copy(update={"subnet": ended.subnet.model_copy(update={"latency_ns": 14_230_000})})
    view.end(timed.outcome)
    spec = SweepSpec.model_validate({"name": "s", "budgets": [{"latency": 0.4}], "latency": {}, "trials": 1})
    (line,) = by_budget(spec, [view], 1)
    assert best(line, " MACs") == "92.5 % at 14.2 ms"
    assert describe_outcome(timed.outcome) == "finished: top-1 val 92.5 %, MACs 250k, 14.2 ms (budget 0.25)"
