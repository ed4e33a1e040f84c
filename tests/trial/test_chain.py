"""A chain of budgets: each search goes on from the network that the budget above has left."""

from __future__ import annotations

import itertools
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import TrialSpec
from ofb_ray.export import load_exported
from ofb_ray.export.network import build, make_arch, widths_of
from ofb_ray.method.axis import Width
from ofb_ray.results.files import ABOVE_FOLDER, TRACE_FILE
from ofb_ray.results.records import Record
from ofb_ray.train.checkpoint import kept_search
from ofb_ray.train.team import Team
from ofb_ray.trial.origin import narrowed
from ofb_ray.trial.plan import plan
from ofb_ray.trial.run import run_trial
from tests.small import small_spec
from tests.workers import in_processes


def link(budget: float = 0.4, above: tuple[float, ...] = (0.7,), epochs: int = 2, **changes: Any) -> TrialSpec:
    """A trial whose search goes on from the budgets above it."""
    chain = {"above": [{"macs_ratio": each} for each in above], "epochs": epochs} if above else None
    return small_spec(budget=budget, chain=chain, **changes)


def run(spec: TrialSpec, folder: Path, shared: Path, report: Any = lambda row: None) -> Record:
    record = run_trial(spec, report, folder, shared=shared, keep_search=True)
    assert record.status == "finished", record.reason
    return record


def comparable(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude={"seconds", "peak_memory_bytes", "finished", "trial"})


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """Three budgets, one trial after the other in one folder."""
    folder = tmp_path_factory.mktemp("chain")
    specs = link(0.7, ()), link(0.5, (0.7,)), link(0.3, (0.7, 0.5))
    return folder, [run(spec, folder / str(number), folder / "shared") for number, spec in enumerate(specs)]


def test_a_link_has_the_chain_s_epochs_and_an_identity_of_its_own() -> None:
    spec = link(0.3, (0.7, 0.5), epochs=2)
    assert spec.epochs("search") == 2
    assert spec.search.epochs == 3
    assert spec.above is not None
    assert spec.above.budget.macs_ratio == 0.5
    assert spec.above.key == link(0.5, (0.7,), epochs=2).key
    assert spec.above.above is not None
    assert spec.above.above.key == small_spec(budget=0.7).key
    assert spec.above.above.above is None
    keys = {
        spec.key,
        spec.search_key,
        link(0.3, (0.7,)).key,
        small_spec(budget=0.3).key,
        small_spec(budget=0.3).search_key,
    }
    assert len(keys) == 5
    assert spec.dense_key == small_spec().dense_key


def test_every_budget_is_met_by_a_part_of_the_network_above(chain: tuple[Path, list[Record]]) -> None:
    folder, records = chain
    for above, record in itertools.pairwise(records):
        assert above.arch is not None
        assert record.arch is not None
        before, after = widths_of(above.arch), widths_of(record.arch)
        assert all(after[name].heads <= size.heads and after[name].width <= size.width for name, size in before.items())
        assert before != after
    for number, record in enumerate(records):
        assert record.subnet is not None
        assert record.subnet.macs <= record.budget.target
        assert operator_macs(load_exported(folder / str(number)), (1, 8, 8)) == record.subnet.macs
        searched = [row["epoch"] for row in record.history if row["phase"] == "search"]
        assert searched == ([1, 2] if number else [1, 2, 3])


def test_the_search_starts_from_what_the_budget_above_has_left(chain: tuple[Path, list[Record]]) -> None:
    """Its first cut starts at the sizes at which the search above ended, and its trace has no other unit."""
    folder, records = chain
    assert records[0].arch is not None
    sizes = widths_of(records[0].arch)
    first = {event["axis"]: event["from"] for event in reversed(records[1].events)}
    assert first
    assert all(first[name] == [*sizes[name]] for name in first)
    trace = np.load(folder / "1" / TRACE_FILE)
    assert [*trace["width"]] == [sizes[str(name)].width for name in trace["axis"]]


def test_every_record_of_a_chain_states_the_dense_network_s_sizes(chain: tuple[Path, list[Record]]) -> None:
    _, records = chain
    dense = plan(TrialSpec.model_validate(records[0].spec)).backbone.widths
    assert all(record.dense_widths == dense for record in records)


def test_one_point_from_its_record_alone_has_the_same_numbers(chain: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """As `trial --from` makes it: the chain up to it is searched again, and leaves nothing in the trial's folder."""
    _, records = chain
    messages: list[str] = []
    spec = TrialSpec.model_validate(records[2].spec)
    again = run(spec, tmp_path / "t", tmp_path / "shared", lambda row: messages.append(row["message"]))
    assert comparable(again) == comparable(records[2])
    assert not (tmp_path / "t" / ABOVE_FOLDER).exists()
    assert any("budget 0.5" in message for message in messages)
    assert not list((tmp_path / "t").glob("*calibration*"))


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the trial sees it as an error."""


@pytest.mark.parametrize("kept", [True, False])
def test_killed_after_every_epoch_it_ends_with_the_same_numbers(
    chain: tuple[Path, list[Record]], tmp_path: Path, kept: bool
) -> None:
    """With the search above at hand and without it: then that one is resumed, too."""
    folder, records = chain
    spec, shared, killed = TrialSpec.model_validate(records[1].spec), tmp_path / "shared", list[str]()
    if kept:
        assert spec.above is not None
        name = kept_search(shared, spec.above).parent.name
        shutil.copytree(folder / "shared" / name, shared / name)

    def report(row: dict[str, Any]) -> None:
        if "loss" in row:
            killed.append(row["phase"])
            raise Killed

    while len(killed) < 40:
        try:
            record = run(spec, tmp_path / "t", shared, report)
            break
        except Killed:
            continue
    searched = spec.epochs("search") + (0 if kept else spec.search.epochs)
    assert [killed.count(phase) for phase in ("dense", "search", "finetune")] == [3, searched, 3]
    assert comparable(record) == comparable(records[1])
    weights = [each / "model.safetensors" for each in (tmp_path / "t", folder / "1")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize("recipe", ["paper", "calibrated"])
def test_a_link_without_an_epoch_cuts_at_once(recipe: str, tmp_path: Path) -> None:
    record = run(
        link(0.4, (0.7,), epochs=0, search={"epochs": 1, "recipe": recipe}, finetune={"epochs": 0}),
        tmp_path / "t",
        tmp_path / "s",
    )
    assert record.budget.used is not None
    assert 0.9 < record.budget.used <= 1


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_the_smallest_network_stays_within_reach(name: str) -> None:
    """What is left of a network has the dense network's smallest sizes, and none above its own."""
    import timm

    with torch.device("meta"):
        dense = timm.create_model(name)
    backbone = describe_backbone(dense, small_spec().search.space)
    sizes = {
        axis.name: Width(axis.head_choices[-1], axis.width_choices[len(axis.width_choices) // 2])
        for axis in backbone.axes
    }
    left = narrowed(backbone, sizes)
    for before, after in zip(backbone.axes, left.axes, strict=True):
        assert after.size == sizes[before.name] == after.full
        assert after.candidates[0] == before.candidates[0]
        assert set(after.candidates) <= set(before.candidates)


def test_a_chain_goes_on_where_whole_parts_have_gone(tmp_path: Path) -> None:
    search = {"epochs": 1, "space": {"mlp_min": 0, "head_min": 0, "embedding": False}}
    above: tuple[float, ...] = ()
    gone: list[set[str]] = []
    for budget in (0.5, 0.2, 0.12):
        record = run(
            link(budget, above, epochs=1, search=search, finetune={"epochs": 1}), tmp_path / str(budget), tmp_path / "s"
        )
        assert record.subnet is not None
        assert record.subnet.macs <= record.budget.target
        assert operator_macs(load_exported(tmp_path / str(budget)), (1, 8, 8)) == record.subnet.macs
        assert record.arch is not None
        gone.append({name for name, size in widths_of(record.arch).items() if not size.units})
        above = (*above, budget)
    assert gone[0] <= gone[1] <= gone[2]
    assert gone[1]


def test_a_budget_out_of_reach_is_refused_before_anything_runs(tmp_path: Path) -> None:
    from ofb_ray.errors import InputError

    with pytest.raises(InputError, match="below the smallest reachable"):
        plan(link(0.001, (0.7,)))


def test_an_architecture_of_the_chain_is_built_like_any_other(chain: tuple[Path, list[Record]]) -> None:
    _, records = chain
    assert records[1].arch is not None
    arch = make_arch(records[1].arch["model"]["name"], records[1].arch["model"]["args"], widths_of(records[1].arch))
    assert sum(param.numel() for param in build(arch).parameters()) == getattr(records[1].subnet, "params", None)


def go_on(spec: TrialSpec, team: Team, folder: Path) -> dict[str, Any]:
    """Run a link as one of several workers: with what the search above has left in `folder`, or without."""
    return comparable(run(spec, folder / "t", folder / "shared"))


@pytest.mark.slow
def test_two_workers_go_on_from_the_search_above_whether_it_is_kept_or_not(tmp_path: Path) -> None:
    spec = link(0.4, (0.7,), dense={"epochs": 1}, search={"epochs": 1}, finetune={"epochs": 1})
    assert spec.above is not None
    found = []
    for name, before in {"kept": spec.above, "again": None}.items():
        folder = tmp_path / name
        (folder / "ranks").mkdir(parents=True)
        if before is not None:
            in_processes(partial(go_on, folder=folder / "head"), before, folder / "ranks")
            shutil.copytree(folder / "head" / "shared", folder / "shared")
        ranks = in_processes(partial(go_on, folder=folder), spec, folder / "ranks")
        assert ranks[0] == ranks[1]
        assert ranks[0]["environment"]["workers"] == 2
        assert not (folder / "t" / ABOVE_FOLDER).exists()
        found.append(ranks[0])
    assert found[0] == found[1]
