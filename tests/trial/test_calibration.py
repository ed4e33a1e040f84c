"""A dense network is calibrated once for all trials that share it, and a trial starts from what was found."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

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


class Killed(BaseException):
    """As SIGKILL: nothing is caught and written on the way out."""


def killed_after(axes: int, folder: Path, shared: Path, **changes: Any) -> list[str]:
    """Run a trial until it has measured so many axes, 0 to its end; what it told of measuring, up to the time left."""
    told: list[str] = []

    def report(row: dict[str, Any]) -> None:
        told.extend([row["message"].partition(",")[0]] * row["message"].startswith("measuring"))
        if len(told) == axes and axes:
            raise Killed

    with pytest.raises(Killed) if axes else contextlib.nullcontext():
        run_trial(small_spec(search={"epochs": 1}, finetune={"epochs": 0}, **changes), report, folder, shared=shared)
    return told


def test_a_trial_killed_while_it_measures_goes_on_after_the_last_axis(tmp_path: Path) -> None:
    """Twice killed, resumed: the calibration equals one of one piece, and nothing else is left."""
    trial, shared = tmp_path / "t", tmp_path / "s"
    assert killed_after(2, trial, shared)[-1] == "measuring sensitivities: 2 of 5 axes"
    (kept,) = shared.glob("*/.calibration-*.partial")
    assert set(load_file(kept)) > {"of"}
    assert killed_after(1, trial, shared) == ["measuring sensitivities: 3 of 5 axes"]
    rest = ["measuring sensitivities: 4 of 5 axes", "measuring sensitivities: 5 of 5 axes"]
    assert killed_after(0, trial, shared) == rest
    killed_after(0, tmp_path / "t2", tmp_path / "s2")
    files = [next(place.glob("*/calibration-*.safetensors")) for place in (shared, tmp_path / "s2")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not list(shared.glob("*/.calibration-*.partial"))


@pytest.mark.parametrize("data", [b"", b"torn", None])
def test_what_was_measured_on_another_network_or_is_torn_is_measured_again(tmp_path: Path, data: bytes | None) -> None:
    trial, shared = tmp_path / "t", tmp_path / "s"
    killed_after(2, trial, shared)
    (kept,) = shared.glob("*/.calibration-*.partial")
    known = load_file(kept)
    known["of"][0] ^= 1  # a bit of the network
    kept.write_bytes(save(known) if data is None else data)
    assert len(killed_after(0, trial, shared)) == 5


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
