"""All that is measured on a GPU, at toy size on whatever is here: a borrowed GPU is no place to find a slip."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from time import monotonic

import pytest
import timm
from safetensors.torch import save_file

from benchmarks import gpu
from benchmarks.gpu import RUNS, command, figures_of

ROOT = Path(__file__).parents[2]
# A key of the last line of each part.
SAYS = {
    **dict.fromkeys([name for name in RUNS if name.startswith("step-")], "projected_gpu_days"),
    "loading": "images_per_second",
    "cifar10": "ofb@0.5",
    "shared": "ratio",
}


@pytest.mark.slow
def test_every_part_runs_to_its_line(tmp_path: Path) -> None:
    weights, out = tmp_path / "vit.safetensors", tmp_path / "figures.json"
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), weights)
    line = [sys.executable, "-m", "benchmarks.gpu", "--toy", "--weights", str(weights), "--out", str(out)]
    answer = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    figures = json.loads(answer.stdout.splitlines()[-1])
    assert figures == {"benchmark": "gpu"} | json.loads(out.read_text())
    assert {name: SAYS[name] in figures[name] for name in RUNS} == dict.fromkeys(RUNS, True), answer.stdout


def arguments(**changes: object) -> Namespace:
    return Namespace(**{"toy": False, "cifar10": None, "weights": None} | changes)


def test_named_files_replace_what_would_be_downloaded(tmp_path: Path) -> None:
    line = command("cifar10", arguments(cifar10=Path("images"), weights=Path("file")), tmp_path)
    assert {"--set=data.name=folder", "--set=data.root=images", "--set=model.weights=file"} <= set(line)
    assert "--set=model.pretrained=false" in line
    assert not [each for each in command("cifar10", arguments(), tmp_path) if each.startswith("--set")]


def test_rivals_are_left_out_where_their_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "is_there", lambda package: package != "torch_pruning")
    assert command("cifar10", arguments(), tmp_path)[-4:] == ["--methods", "ofb", "uniform", "random"]


def test_without_ray_the_part_that_needs_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    others = [name for name in RUNS if name != "shared"]
    monkeypatch.setattr(sys, "argv", ["gpu", "--skip", *others])
    gpu.main()
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["shared"] == {"skipped": "needs ray"}


def test_a_part_that_takes_too_long_or_fails_leaves_its_exit_status() -> None:
    start = monotonic()
    assert figures_of(["timeit", "-n", "1", "import time; time.sleep(60)"], 0.5) == {"exit": -9}
    assert monotonic() - start < 30
    assert figures_of(["no_such_module"], None) == {"exit": 1}
