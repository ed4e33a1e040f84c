"""A comparison states the training behind it, and a dense network that is plainly undertrained is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.fronts.selected_table import notes
from analysis.fronts.training import trained, undertrained
from analysis.pareto import analyse
from analysis.trials.read import read
from tests.analysis.factory import DENSE, record, write

EPOCHS = {"dense": {"epochs": 30}, "search": {"epochs": 20}, "finetune": {"epochs": 10}}


def a_sweep(folder: Path, test_of_dense: float, images: int | None = 1000, **spec: Any) -> Path:
    dense = DENSE.model_copy(update={"top1_test": test_of_dense})
    trials = []
    for number, ratio in enumerate((0.5, 0.3)):
        made = record(number, ratio, dense=dense)
        facts = {"environment": {"test_images": images}} if images else {}
        trials.append(made.model_copy(update={"spec": {**made.spec, **EPOCHS, **spec}, **facts}))
    return write(folder, trials)


def test_the_epochs_of_both_stand_beside_the_comparison(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path / "s", 98.2)
    line = "Training: dense 30 epochs; each subnet, from that network, 20 of search and 10 of fine-tuning more."
    assert trained(read(folder)) == line
    assert line in notes(read(folder))
    assert line in " ".join(analyse(folder).split())
    for name in ("table.md", "table.tex"):
        assert "dense 30 epochs" in (folder / "analysis" / name).read_text()


def test_in_a_chain_the_searches_above_count(tmp_path: Path) -> None:
    above = [{"macs_ratio": ratio} for ratio in (0.75, 0.6, 0.45)]
    folder = a_sweep(tmp_path / "s", 98.2, chain={"epochs": 2, "above": above})
    assert "from that network, 26 of search and 10 of fine-tuning more" in trained(read(folder))


def test_pretrained_weights_are_said(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path / "s", 98.2, model={"name": "deit_tiny_patch16_224", "pretrained": True})
    assert "dense 30 epochs from pretrained weights;" in trained(read(folder))


def test_records_without_epochs_say_nothing(tmp_path: Path) -> None:
    assert trained(read(write(tmp_path / "s", [record(0)]))) == ""


@pytest.mark.parametrize(("dense", "said"), [(84.0, True), (96.5, False), (98.2, False)])
def test_a_dense_network_far_below_its_subnets_is_named_with_the_remedy(
    tmp_path: Path, dense: float, said: bool
) -> None:
    text = undertrained(read(a_sweep(tmp_path / "s", dense)))
    assert bool(text) == said
    if said:
        assert "beats it by 13.20 ±" in text
        assert "Give it more `dense.epochs` (now 30)" in text


def test_without_an_interval_nothing_is_claimed(tmp_path: Path) -> None:
    assert undertrained(read(a_sweep(tmp_path / "s", 84.0, images=None))) == ""
