"""A budget of latency: the search follows the table, and a subnet that is too slow in truth is made smaller."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofb_ray import cli
from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.export import export_trial
from ofb_ray.method.axis import Widths
from ofb_ray.results.records import LatencyOutcome, Record
from ofb_ray.train.team import Team
from ofb_ray.trial import latency, promise
from ofb_ray.trial.plan import meta_network, plan, resolve_model
from ofb_ray.trial.run import run_trial
from tests.small import small_spec

HEADS, UNITS = "heads", "units"
SPACE = {"space": {"head_min": 1, "mlp_min": 0.25}}


def backbone_of(spec: TrialSpec) -> Backbone:
    return describe_backbone(meta_network(resolve_model(spec)), spec.search.space)


def table(path: Path, spec: TrialSpec, dear: str, **facts: Any) -> str:
    """A made-up device on which heads are dear, or the units of MLPs."""
    entries: list[dict[str, Any]] = [{"axes": [], "ns": 1000}]
    for axis in backbone_of(spec).axes:
        if axis.kind == "embedding":
            continue
        counts = [size.heads * 50 if axis.kind == "attention" else size.units for size in axis.candidates]
        price = 100 if (axis.kind == "attention") == (dear == HEADS) else 1
        sizes = [[list(size) for size in axis.candidates]]
        entries.append({"axes": [axis.name], "sizes": sizes, "ns": [price * count for count in counts]})
    path.write_text(json.dumps({**facts, "tables": entries}))
    return str(path)


def limited(path: str, **changes: Any) -> TrialSpec:
    tree = {"budget": {"latency": 0.5}, "latency": {"table": path}, "search": SPACE} | changes
    return small_spec(**tree)


def trained(spec: TrialSpec, folder: Path) -> Record:
    return run_trial(spec, lambda _: None, folder, shared=folder / "shared")


def shares(record: Record) -> tuple[float, float]:
    """What is left of all heads and of all units of MLPs."""
    assert record.arch is not None
    widths: Mapping[str, Mapping[str, int]] = record.arch["widths"]

    def left(end: str, value: str) -> float:
        names = [name for name in widths if name.endswith(end)]
        place = ("heads", "width").index(value)
        return sum(widths[name][value] for name in names) / sum(record.dense_widths[name][place] for name in names)

    return left("attn", "heads"), left("mlp", "width")


def test_the_search_follows_the_table(tmp_path: Path) -> None:
    """Where heads are dear they go, where units of MLPs are dear those go: the same network, the same budget."""
    plain = small_spec(search=SPACE)
    found = {}
    for dear in (HEADS, UNITS):
        spec = limited(table(tmp_path / f"{dear}.json", plain, dear))
        record = trained(spec, tmp_path / dear)
        assert record.status == "finished"
        assert record.budget.resource == "latency_ns"
        assert record.subnet is not None
        assert record.dense is not None
        assert record.subnet.latency_ns is not None
        assert record.dense.latency_ns is not None
        assert record.subnet.latency_ns <= record.budget.target == record.dense.latency_ns // 2
        assert record.latency is not None
        assert record.latency.ratio is None  # the device of the table is not here
        found[dear] = shares(record)
    assert found[HEADS][0] <= 0.55 < 0.9 <= found[HEADS][1]
    assert found[UNITS][1] <= 0.55 < 0.9 <= found[UNITS][0]


def truth(backbone: Backbone, widths: Widths) -> float:
    """Seconds on a device whose MLPs take as long as their units."""
    return 1e-3 + sum(1e-5 * widths[axis.name].units for axis in backbone.axes if axis.kind == "mlp")


@pytest.mark.parametrize(("error", "corrections"), [(1.0, 0), (1.2, 1), (100.0, 3)])
def test_a_subnet_that_is_too_slow_is_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float, corrections: int
) -> None:
    """The measured subnet takes `error` times what the table says; the projection is repeated, at most three times."""

    def turns(net: Any, backbone: Backbone, sizes: Sequence[Widths], *_: Any) -> list[np.ndarray]:
        own = [truth(backbone, widths) * error for widths in sizes]
        return [np.full(20, seconds) for seconds in (truth(backbone, backbone.widths), *own)]

    monkeypatch.setattr(promise, "run_turns", turns)
    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", exact_turns)
    spec = limited("", latency={"seconds": 5}, budget={"latency": 0.7})
    record = trained(spec, tmp_path / "trial")
    outcome = record.latency
    assert outcome is not None
    assert outcome.ratio is not None
    assert outcome.used is not None
    assert outcome.corrections <= corrections
    assert (outcome.corrections > 0) == (error > 1.03)
    if error < 2:
        assert outcome.used <= 1.03
        assert ("smaller" in record.budget.note) == (error > 1.03)
    else:  # the smallest network there is
        assert outcome.used > 1.03
        assert "of the limit" in record.budget.note
    assert not (tmp_path / "trial" / "promise.json").exists()


@pytest.mark.parametrize(("slow", "ratio", "runs"), [([1.3, 1.0], 1.0, 2), ([1.3, 1.2, 1.4], 1.1 / 1.2, 3)])
def test_a_subnet_is_timed_again_where_other_work_slows_the_dense_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: list[float], ratio: float, runs: int
) -> None:
    """Other work slows the dense network twice as much; the run that is disturbed least tells."""
    factors, seen = iter(slow), []

    def turns(net: Any, backbone: Backbone, sizes: Sequence[Widths], *_: Any) -> list[np.ndarray]:
        seen.append(factor := next(factors))
        dense, own = truth(backbone, backbone.widths), truth(backbone, sizes[0])
        return [np.full(20, factor * dense), np.full(20, (1 + factor) / 2 * own)]

    monkeypatch.setattr(promise, "run_turns", turns)
    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", exact_turns)
    outcome = trained(limited("", latency={"seconds": 5}, budget={"latency": 0.7}), tmp_path / "trial").latency
    assert outcome is not None
    assert outcome.ratio == pytest.approx(ratio * outcome.predicted_ms / outcome.dense_ms, rel=0.01)
    assert len(seen) == runs


def exact_turns(net: Any, backbone: Backbone, sizes: Sequence[Widths], *_: Any) -> list[np.ndarray]:
    return [np.full(5, truth(backbone, widths)) for widths in (backbone.widths, *sizes)]


def test_a_table_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def turns(*args: Any) -> list[np.ndarray]:
        calls.append(1)
        return exact_turns(*args)

    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", turns)
    spec, told = limited("", latency={"seconds": 5}), list[str]()
    first = latency.trial_latency(spec, tmp_path / "shared", Team(), told.append)
    count = len(calls)
    again = latency.trial_latency(spec, tmp_path / "shared", Team(), told.append)
    assert count == len(calls) > 3
    assert "measuring latency: 0 of 60 networks" in told
    widths = {axis.name: axis.candidates[0] for axis in backbone_of(spec).axes}
    numbers = [plan(spec, latency=tables).latency_ns(widths) for tables in (first.tables, again.tables)]
    assert numbers[0] == numbers[1]
    assert plan(spec, latency=first.tables).dense_cost == pytest.approx(
        1e9 * truth(backbone_of(spec), backbone_of(spec).widths), rel=0.01
    )


@pytest.mark.parametrize(
    ("ratio", "error", "corrections", "dense", "says"),
    [
        (0.5, 0.02, 0, 10.9, ""),
        (0.5, 0.02, 0, 13.0, "timed on a busy machine: the dense network took 1.30 of its time"),
        (0.5, 0.47, 0, 10.0, "its table is off by 47 % (median): measure it on a quiet machine"),
        (0.5, 0.02, 2, 10.0, "made smaller than its table asks for, as it was slower than that says (2 times)"),
        (0.6, 0.02, 3, 10.0, "measured, the subnet takes 1.20 of the limit (1.10 to 1.30)"),
        (None, None, 0, None, ""),
    ],
)
def test_a_record_says_where_a_time_is_not_what_its_table_says(
    ratio: float | None, error: float | None, corrections: int, dense: float | None, says: str
) -> None:
    spread = {} if ratio is None else {"ratio_low": ratio - 0.05, "ratio_high": ratio + 0.05}
    outcome = LatencyOutcome(
        target_ms=5.0,
        predicted_ms=4.9,
        dense_ms=10.0,
        ratio=ratio,
        table_error=error,
        corrections=corrections,
        measured_dense_ms=dense,
        **spread,
    )
    assert promise.note_of(outcome).startswith(says)
    assert bool(promise.note_of(outcome)) == bool(says)
    assert promise.note_of(None) == ""


def test_without_a_table_a_plan_is_provisional() -> None:
    spec = limited("", latency={})
    assert plan(spec).provisional
    assert plan(spec).dense_ns is None
    assert not plan(small_spec()).provisional


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["latency={backend: tensorrt}"], "latency.backend"),
        (["latency={table: none.json}"], "latency.table: none.json cannot be read"),
        (["latency={backend: onnxruntime, precision: bfloat16}"], "onnxruntime is measured in float32"),
        (["latency={batch: 0}"], "latency.batch"),
        (["budgets=[{latency: 1.5}]"], "latency"),
        (["budgets=[{latency: 0.5, latency_ms: 3}]"], "exactly one of"),
    ],
)
def test_bad_input_is_one_line(changes: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["sweep", "digits", "--dry-run", "--set", "budgets=[{latency: 0.5}]"]
    assert cli.main([*line, *(part for text in changes for part in ("--set", text))]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_table_of_another_network_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "t.json", small_spec(), HEADS, model="swin_tiny_patch4_window7_224")
    line = ["sweep", "digits", "--dry-run", "--set", "budgets=[{latency: 0.5}]", "--set", f"latency={{table: {path}}}"]
    assert cli.main(line) == 2
    assert "is the table of swin_tiny_patch4_window7_224, not of vit_tiny" in capsys.readouterr().err


def test_a_device_that_is_absent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    spec = limited("", latency={"device": "cuda"})
    with pytest.raises(InputError, match=r"there is no GPU here: set latency.device: cpu, or give latency.table"):
        trained(spec, tmp_path)


def test_latency_belongs_to_budgets_of_latency_alone() -> None:
    with pytest.raises(ValueError, match="`latency` belongs to a budget of latency"):
        small_spec(latency={})
    assert small_spec(budget={"latency": 0.5}).latency is not None
    assert "latency" not in small_spec().model_dump(mode="json")


def test_a_model_card_says_what_was_promised_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promise, "run_turns", exact_turns)
    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", exact_turns)
    spec = limited("", latency={"seconds": 5}, budget={"latency": 0.8})
    trained(spec, tmp_path / "trial")
    export_trial(tmp_path / "trial", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Budget `latency 0.8`: at most 2.848 ms" in card
    assert "Timed in turns with the dense network (torch, batch 1, 2 threads) it takes 0.7" in card
