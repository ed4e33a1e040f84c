"""The sentence says what was found, on which split, and claims no more than seeds or images can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.fronts.found import ONE_LINE, found
from analysis.trials.read import read
from ofb_ray.results.records import Network, Record
from tests.analysis.curves import IMAGES, curve
from tests.analysis.factory import DENSE, failed, record, write, write_open


def said(folder: Path, trials: list[Record], **changes: Any) -> list[str]:
    """What is said of these trials; `changes` are fields of all their budgets' outcomes."""
    changed = [t.model_copy(update={"budget": t.budget.model_copy(update=changes)}) for t in trials]
    return found(read([write(folder, changed)]))


def seeds(ratio: float, losses: tuple[float, ...], start: int = 0) -> list[Record]:
    """A setting that lost so many points of test top-1, a seed each."""
    return [
        record(start + seed, ratio, DENSE.top1_val, seed=seed, params_explored={}, subnet=network(ratio, loss))
        for seed, loss in enumerate(losses)
    ]


def network(ratio: float, loss: float) -> Network:
    test = (DENSE.top1_test or 0.0) - loss
    return Network(macs=int(ratio * 990_000), params=int(ratio * 200_000), top1_val=98.0, top1_test=test)


def test_several_seeds_give_the_t_interval_of_the_mean_difference(tmp_path: Path) -> None:
    # Standard deviation 0.2 of three: t(0.975, 2) * 0.2 / sqrt(3) = 0.497.
    assert said(tmp_path, seeds(0.5, (1.0, 1.2, 1.4))) == [
        "With half of the MACs the network loses 1.2 ± 0.5 points of test top-1 (95 % interval over 3 seeds)."
    ]


def test_one_seed_gives_the_binomial_interval_of_the_images(tmp_path: Path) -> None:
    trial = record(0, 0.5, 90.0, subnet=network(0.5, 8.2), environment=IMAGES)
    # 90.0 and 98.2 % of 359 images, each with a hit and a miss more: 1.96 * sqrt((0.0918 + 0.0202) / 359) = 0.0346.
    assert said(tmp_path, [trial]) == [
        "With half of the MACs the network loses 8.2 ± 3.5 points of test top-1 "
        "(one seed, 95 % interval of 359 images)."
    ]


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        ((-1.0, -1.2, -1.4), "With half of the MACs the network gains 1.2 ± 0.5 points of test top-1"),
        ((0.0, 0.2, 0.7), "With half of the MACs there is no measurable loss of test top-1: -0.3 ± 0.9 points"),
        ((0.0, -0.2, -0.7), "With half of the MACs there is no measurable loss of test top-1: +0.3 ± 0.9 points"),
        ((-0.2, 0.0, 0.2), "With half of the MACs there is no measurable loss of test top-1: 0.0 ± 0.5 points"),
    ],
)
def test_a_gain_is_called_so_and_what_covers_zero_is_no_measurable_loss(
    tmp_path: Path, losses: tuple[float, ...], sentence: str
) -> None:
    (text,) = said(tmp_path, seeds(0.5, losses))
    assert text.startswith(sentence)


def test_where_neither_seeds_nor_images_are_known_no_interval_is_claimed(tmp_path: Path) -> None:
    assert said(tmp_path / "one", [record(0, 0.5, 97.0)]) == [
        "With half of the MACs test top-1 is 1.5 points below the dense network's (one seed, no interval known)."
    ]
    (equal,) = said(tmp_path / "equal", [record(0, 0.5, 98.5)])
    assert "test top-1 is as high as the dense network's" in equal


def test_seeds_that_agree_by_chance_do_not_pass_for_certain(tmp_path: Path) -> None:
    alike = seeds(0.5, (1.0, 1.0, 1.0))
    (unknown,) = said(tmp_path / "unknown", alike)
    assert "±" not in unknown
    assert "3 seeds, no interval known" in unknown
    (text,) = said(tmp_path / "known", [each.model_copy(update={"environment": IMAGES}) for each in alike])
    assert "no measurable loss of test top-1: -1.0 ± 2.3 points (3 seeds, 95 % interval of 359 images)" in text


def test_without_a_test_split_the_sentence_says_that_the_split_also_selected(tmp_path: Path) -> None:
    trial = record(0, 0.5, 90.0, environment=IMAGES)
    assert trial.subnet is not None
    trial = trial.model_copy(update={"subnet": trial.subnet.model_copy(update={"top1_test": None})})
    (text,) = said(tmp_path, [trial])
    assert "points of held-out top-1" in text
    assert "216 images; the split that also selected" in text


def test_a_dense_network_without_accuracy_leaves_the_accuracy_alone(tmp_path: Path) -> None:
    blind = DENSE.model_copy(update={"top1_val": None, "top1_test": None})
    assert said(tmp_path / "blind", [record(0, 0.5, 97.5, dense=blind)]) == [
        "With half of the MACs the network has 97.2 % test top-1; the dense network's is not known."
    ]
    assert said(tmp_path / "none", [record(0, 0.5, 97.5, dense=None)])[0].startswith("With budget 0.5 the network has")


def test_the_budget_nearest_to_half_comes_first_and_then_the_smallest(tmp_path: Path) -> None:
    first, second = said(tmp_path / "six", curve(3))
    assert first.startswith("With 45 % of the MACs ")
    assert second == "With 12 % of the MACs it loses 6.8 ± 3.3 points."
    first, second = said(tmp_path / "seeds", curve(1, (0, 1, 2)))
    assert "over 3 seeds" in first
    assert second.startswith("With 12 % of the MACs it loses 6.6 ± ")


@pytest.mark.parametrize(
    ("ratio", "changes", "name"),
    [
        (0.25, {}, "a quarter of the MACs"),
        (0.5, {"label": "sparsity 0.5"}, "half of the MACs"),
        (0.37, {"label": "1.7 GMACs"}, "1.7 GMACs (37 % of the MACs)"),
        (0.05, {}, "5.0 % of the MACs"),
        (
            0.5,
            {"label": "0.1M params", "resource": "params", "target": 102_500},
            "0.1M params (50 % of the parameters)",
        ),
    ],
)
def test_a_budget_is_named_by_its_share_and_by_its_own_unit(
    tmp_path: Path, ratio: float, changes: dict[str, Any], name: str
) -> None:
    assert said(tmp_path, [record(0, ratio, 97.0)], **changes)[0].startswith(f"With {name} ")


def test_budgets_without_a_network_are_named_and_do_not_stand_for_others(tmp_path: Path) -> None:
    trials = [record(0, 0.25, 96.0), failed(1, 0.5), record(2, 0.12, macs=130_000)]
    first, lost = said(tmp_path, trials)
    assert first.startswith("With a quarter of the MACs ")
    assert lost == "No network within budgets 0.12, 0.5."
    assert said(tmp_path / "none", [failed(0), failed(1, dense=None)]) == ["No trial has finished within its budget."]
    assert found(read([write(tmp_path / "empty", [])])) == []


def test_an_open_sweep_is_spoken_of_so_far(tmp_path: Path) -> None:
    folder = write(tmp_path, [record(0, 0.5, 97.0)])
    write_open(folder, 1, running=True)
    assert found(read([folder]))[0].startswith("So far, with half of the MACs ")


def test_of_several_experiments_the_sentence_names_the_better_one(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / name, [record(0, 0.5, top1, spec={"sweep": name})], name)
        for name, top1 in (("random", 95.0), ("ofb", 97.0))
    ]
    assert found(read(folders))[0].startswith("ofb: with half of the MACs ")


def test_trials_on_different_data_are_not_summed_up(tmp_path: Path) -> None:
    other = record(1, 0.25, spec={"data": {"name": "cifar10"}})
    assert found(read([write(tmp_path, [record(0), other])])) == []


def test_only_the_first_sentence_may_be_longer_than_a_line(tmp_path: Path) -> None:
    lost = [failed(100 + number, 0.8 + number / 1000) for number in range(40)]
    assert all(len(text) <= ONE_LINE for text in said(tmp_path, [*curve(3), *lost])[1:])
