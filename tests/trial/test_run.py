"""The trial as a whole: the promise, failures, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import ofb_ray
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.data import load as load_data
from ofb_ray.errors import InputError
from ofb_ray.export import export_trial
from ofb_ray.results.files import STATE_FILE
from ofb_ray.results.records import Record, read_record
from ofb_ray.train.evaluate import evaluate
from ofb_ray.trial.plan import plan
from ofb_ray.trial.run import run_trial
from tests.small import small_spec


def run(spec: Any, tmp_path: Path, name: str = "trial") -> tuple[Record, list[dict[str, Any]]]:
    reports: list[dict[str, Any]] = []
    record = run_trial(spec, reports.append, tmp_path / name, shared=tmp_path / "shared")
    return record, reports


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("finished")
    record, reports = run(small_spec(), folder)
    return folder, record, reports


def test_record_tells_the_whole_trial(finished: tuple[Path, Record, list[dict[str, Any]]]) -> None:
    folder, record, _ = finished
    assert record == read_record(folder / "trial")
    assert record.status == "finished"
    assert [(row["phase"], row["epoch"]) for row in record.history] == [
        (phase, epoch) for phase in ("dense", "search", "finetune") for epoch in (1, 2, 3)
    ]
    assert record.dense is not None
    assert record.subnet is not None
    assert record.seconds.keys() == {"dense", "search", "finetune"}
    assert {"axis", "from", "to", "output_gap"} <= record.events[0].keys()
    assert record.environment["val_images"] == 216
    assert not (folder / "trial" / STATE_FILE).exists()


def test_exported_subnet_is_what_the_record_says(finished: tuple[Path, Record, list[dict[str, Any]]]) -> None:
    folder, record, _ = finished
    assert record.subnet is not None
    net = ofb_ray.load(folder / "trial")
    assert operator_macs(net, (1, 8, 8)) == record.subnet.macs
    assert sum(param.numel() for param in net.parameters()) == record.subnet.params
    test = load_data(small_spec().data).test
    assert evaluate(net, test, torch.device("cpu")).top1 == record.subnet.top1_test


def test_a_loaded_subnet_tells_timm_how_to_prepare_images(
    finished: tuple[Path, Record, list[dict[str, Any]]],
) -> None:
    net = ofb_ray.load(finished[0] / "trial")
    prepared = timm.data.resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    assert prepared["input_size"] == (1, 8, 8)
    assert (prepared["mean"], prepared["std"], prepared["crop_pct"]) == ((0.305,), (0.376,), 1.0)


def test_progress_never_falls_and_ends_at_one(finished: tuple[Path, Record, list[dict[str, Any]]]) -> None:
    _, _, reports = finished
    progress = [report["progress"] for report in reports]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    json.dumps(reports)


def test_a_finished_trial_is_not_run_again(finished: tuple[Path, Record, list[dict[str, Any]]]) -> None:
    folder, record, _ = finished
    again, reports = run(small_spec(), folder)
    assert again == record
    assert reports == []


def test_the_dense_network_is_trained_once(finished: tuple[Path, Record, list[dict[str, Any]]]) -> None:
    folder, record, _ = finished
    other, reports = run(small_spec(budget=0.75, search={"epochs": 0}, finetune={"epochs": 0}), folder, "other")
    assert other.dense == record.dense
    told = [(report["phase"], report["epoch"], report["message"]) for report in reports]
    assert told == [("search", 0, "reading the data"), ("search", 0, "calibrating"), ("done", 0, "")]


@pytest.mark.parametrize(
    "budget", [0.3, 0.9, {"sparsity": 0.6}, {"params": 14000}, {"gmacs": 0.00006}, {"macs_ratio": 1.0}], ids=str
)
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_the_budget_is_met_whatever_the_number_of_epochs(
    finished: tuple[Path, Record, list[dict[str, Any]]], tmp_path: Path, budget: Any, epochs: int
) -> None:
    folder, _, _ = finished
    spec = small_spec(budget=budget, search={"epochs": epochs}, finetune={"epochs": 0})
    record = run_trial(spec, lambda _: None, tmp_path / "trial", shared=folder / "shared")
    numbers = plan(spec)
    assert record.subnet is not None
    cost = getattr(record.subnet, numbers.resource)
    assert cost <= numbers.target
    assert cost >= 0.99 * numbers.target or record.budget.note
    assert record.budget.used == round(cost / numbers.target, 6)


def test_a_budget_below_the_smallest_subnet_names_the_minimum() -> None:
    with pytest.raises(InputError, match=r"0\.05 is .* below the smallest reachable subnet: [\d,]+ MACs"):
        plan(small_spec(budget=0.05))


@pytest.mark.parametrize("phase", ["dense", "search", "finetune"])
def test_a_trial_that_diverges_fails_with_a_reason(tmp_path: Path, phase: str) -> None:
    record, _ = run(small_spec(**{phase: {"lr": 1e30, "warmup": 0.0}}), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith(f"{phase}: the loss is")
    assert record.subnet is None
    assert record.budget.target > 0


def test_a_folder_of_another_trial_is_refused(tmp_path: Path) -> None:
    torch.save({"key": "another"}, tmp_path / STATE_FILE)
    with pytest.raises(InputError, match="another trial"):
        run_trial(small_spec(), lambda _: None, tmp_path, shared=tmp_path)


@pytest.mark.parametrize(
    "search",
    [
        {"mask": "importance"},
        {"mask": "sparsity"},
        {"entropy": False},
        {"variance": False},
        {"score_penalty": False},
        {"recipe": "paper"},
        {"start": "random", "score_init": "random"},
        {"basis": "plain"},
        {"compensate": False},
        {"doubt": 0.1},
        {"pmim": {"mode": "progressive"}},
        {"pmim": {"mode": "fixed", "weight": 0.1}},
        {"adapt_budget_weight": False, "alpha_lr": 0.01},
        {"eliminations_per_epoch": 50},
        {"space": {"embedding": False}},
        {"space": {"mlp_min": 0, "head_min": 0}},
    ],
    ids=str,
)
def test_every_ablation_runs(
    finished: tuple[Path, Record, list[dict[str, Any]]], tmp_path: Path, search: dict[str, Any]
) -> None:
    folder, base, _ = finished
    spec = small_spec(search={**search, "epochs": 3}, finetune={"epochs": 0})
    record = run_trial(spec, lambda _: None, tmp_path / "trial", shared=folder / "shared")
    assert record.status == "finished", record.reason
    searched = [[row for row in made.history if row["phase"] == "search"] for made in (record, base)]
    assert searched[0] != searched[1]  # the switch does something


def test_export_copies_a_finished_trial_only(
    finished: tuple[Path, Record, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, _, _ = finished
    export_trial(folder / "trial", tmp_path / "subnet")
    written = {path.name for path in (tmp_path / "subnet").iterdir()}
    assert written == {"README.md", "arch.json", "config.json", "model.safetensors", "record.json"}
    with pytest.raises(InputError, match="already holds a subnet"):
        export_trial(folder / "trial", tmp_path / "subnet")
    with pytest.raises(InputError, match="no finished trial"):
        export_trial(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
