"""Trials that fit on machines are counted; where none fits, the refusal has the flags to type with which one does."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import SweepSpec, yaml12
from ofb_ray.config.load import load_sweep
from ofb_ray.config.shipped import shipped_sweeps
from ofb_ray.errors import InputError
from ofb_ray.tuning.ray.resources import check_nodes


def asked(**resources: Any) -> SweepSpec:
    return SweepSpec.model_validate({"name": "s", "budgets": [0.5], "resources": resources})


@pytest.mark.parametrize(
    ("resources", "nodes", "fits"),
    [
        ({"workers": 2}, [{"CPU": 4.0}], 2),
        ({"workers": 2, "gpus_per_worker": 1}, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}], 1),
        ({"gpus_per_worker": 0.5}, [{"CPU": 8.0, "GPU": 1.0}], 2),
        ({"workers": 4, "cpus_per_worker": 2}, [{"CPU": 3.0}, {"CPU": 7.0}], 1),
    ],
)
def test_trials_that_fit(resources: dict[str, Any], nodes: list[dict[str, float]], fits: int) -> None:
    assert check_nodes(asked(**resources), "the cluster", nodes) == fits


@pytest.mark.parametrize(
    ("resources", "nodes", "told", "less"),
    [
        (
            {"workers": 2, "gpus_per_worker": 1},
            [{"CPU": 8.0, "GPU": 1.0}],
            "2 workers with 1 GPU each, .* has 1:",
            ["resources.workers=1"],
        ),
        (
            {"cpus_per_worker": 4},
            [{"CPU": 3.0}, {"CPU": 2.0}],
            "room for 0 of a trial's 1 worker",
            ["resources.cpus_per_worker=3"],
        ),
        (
            {"workers": 8, "gpus_per_worker": 1, "cpus_per_worker": 12, "concurrent": 2},
            [{"CPU": 2.0}],
            "8 workers with 1 GPU each, .* has 0: to train on CPUs",
            ["resources={cpus_per_worker: 2, concurrent: 2}"],
        ),
        ({"gpus_per_worker": 0.5}, [{"CPU": 2.0}], "asks for 0.5 GPUs, .* has 0:", ["resources={cpus_per_worker: 1}"]),
        (
            {"workers": 8, "gpus_per_worker": 1, "cpus_per_worker": 12},
            [{"CPU": 9.0, "GPU": 4.0}, {"CPU": 9.0, "GPU": 1.0}],
            "has 5:",
            ["resources.workers=5", "resources.cpus_per_worker=2"],
        ),
        ({"cpus_per_worker": 1e12}, [{"CPU": 2.0}], "has 2:", ["resources.cpus_per_worker=2"]),
        ({"workers": 9, "cpus_per_worker": 0.5}, [{"CPU": 2.0}], "has 2:", ["resources.workers=4"]),
        ({"cpus_per_worker": 2}, [], "has 0: ask for less", []),
    ],
)
def test_trials_that_do_not_fit_are_told_flags_with_which_they_do(
    resources: dict[str, Any], nodes: list[dict[str, float]], told: str, less: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told) as error:
        check_nodes(asked(**resources), "the cluster", nodes)
    typed = shlex.split(str(error.value).rpartition(" add ")[2]) if less else []
    assert typed == [part for each in less for part in ("--set", each)]
    if less:
        text = yaml12.dump({"name": "s", "budgets": [0.5], "resources": resources})
        (file := tmp_path / "s.yaml").write_text(text)
        assert check_nodes(load_sweep(file, less), "the cluster", nodes) >= 1


@pytest.mark.parametrize("gpus", [1.5, 2])
def test_a_worker_has_at_most_one_gpu(gpus: float) -> None:
    with pytest.raises(ValueError, match="gpus_per_worker"):
        asked(gpus_per_worker=gpus)


@pytest.mark.parametrize("name", [name for name in shipped_sweeps() if load_sweep(name).resources.gpus])
def test_a_shipped_sweep_for_gpus_runs_on_two_cpus_with_what_its_refusal_says(name: str) -> None:
    with pytest.raises(InputError) as error:
        check_nodes(load_sweep(name), "this machine", [{"CPU": 2.0}])
    words = shlex.split(InputError(error.value.message, file="x" * 150, line=1, key=error.value.key).args[0])
    assert words[-2] == "--set"
    assert check_nodes(load_sweep(name, words[-1:]), "this machine", [{"CPU": 2.0}]) == 1
