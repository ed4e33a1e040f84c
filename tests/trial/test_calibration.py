"""A dense network is calibrated once for all trials that share it, and a trial starts from what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofb_ray.calibration.sensitivity import sensitivities
from ofb_ray.results.records import Record
from ofb_ray.trial.run import run_trial
from tests.small import small_spec


def run(folder: Path, shared: Path, **changes: Any) -> Record:
    return run_trial(small_spec(**changes), lambda report: None, folder, shared=shared)


def test_trials_of_several_budgets_share_one_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, calls = tmp_path / "shared", list[int]()

    def counted(*args: Any) -> Any:
        calls.append(1)
        return sensitivities(*args)

    monkeypatch.setattr("ofb_ray.search.calibrate.sensitivities", counted)
    first = run(tmp_path / "a", shared)
    again = run(tmp_path / "b", shared, budget=0.4)
    assert len(calls) == 1
    assert len(list(shared.glob("*/calibration-*.safetensors"))) == 1
    alone = run(tmp_path / "c", tmp_path / "elsewhere", budget=0.4)
    assert alone.history[3:] == again.history[3:]
    assert first.subnet is not None
    assert alone.subnet == again.subnet


@pytest.mark.parametrize(
    "keys",
    [
        {"basis": "plain"},
        {"start": "random"},
        {"compensate": False},
        {"recipe": "paper", "start": "sensitivity"},
        {"recipe": "paper", "compensate": True},
        {"recipe": "paper", "basis": "canonical"},
    ],
)
def test_every_part_works_without_the_others(keys: dict[str, Any], tmp_path: Path) -> None:
    record = run(tmp_path / "t", tmp_path / "shared", search={"epochs": 2, **keys}, finetune={"epochs": 1})
    assert record.status == "finished", record.reason
    assert record.budget.used is not None
    assert 0.9 < record.budget.used <= 1


def test_the_released_recipe_looks_at_no_calibration_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("ofb_ray.trial.searching.calibration_images", never)
    record = run(tmp_path / "t", tmp_path / "s", search={"epochs": 1, "recipe": "paper"}, finetune={"epochs": 0})
    assert record.status == "finished", record.reason
    assert not list((tmp_path / "s").glob("*/calibration-*"))


def test_without_an_epoch_of_search_the_best_network_of_the_sensitivities_is_cut(tmp_path: Path) -> None:
    """The trial's widths are those of the knapsack over the divergences that lie beside the dense network."""
    from safetensors.torch import load_file

    from ofb_ray.search.calibrate import Calibration, best_widths
    from ofb_ray.trial.plan import plan

    spec = small_spec(search={"epochs": 0}, finetune={"epochs": 0})
    record = run_trial(spec, lambda report: None, tmp_path / "t", shared=tmp_path / "s")
    stored = load_file(next((tmp_path / "s").glob("*/calibration-*.safetensors")))
    deltas = {name.removeprefix("delta/"): value for name, value in stored.items() if name.startswith("delta/")}
    planned = plan(spec)
    wanted = best_widths(Calibration(torch.nn.Identity(), {}, deltas), planned.backbone, planned.goal)
    assert record.arch is not None
    assert {name: (size["heads"], size["width"]) for name, size in record.arch["widths"].items()} == {
        name: tuple(size) for name, size in wanted.items()
    }
    assert all(event["projected"] for event in record.events)


def test_measuring_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[str] = []
    run_trial(
        small_spec(search={"epochs": 1}, finetune={"epochs": 0}),
        lambda report: told.append(report["message"]),
        tmp_path / "t",
        shared=tmp_path / "s",
    )
    lines = [text for text in told if text.startswith("measuring sensitivities")]
    assert lines[-1] == "measuring sensitivities: 5 of 5 axes, 0 s left"
