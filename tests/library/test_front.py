"""A front is one compression a budget that shares the dense network's evaluation and the decoded images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import ofb_ray
from ofb_ray.errors import InputError
from tests.data.toy import Toy
from tests.library.nets import tiny


def test_budgets_share_the_dense_network_and_each_is_kept(tmp_path: Path) -> None:
    front = ofb_ray.front(tiny(), Toy(), budgets=(0.7, {"params": 12_000}), epochs=1, out=tmp_path, quiet=True)
    assert front[0].macs <= 0.7 * front[0].dense.macs
    assert front[1].params <= 12_000
    assert front[0].dense == front[1].dense
    assert len(list((tmp_path / "shared").glob("*/dense.json"))) == 1
    frame = front.frame()
    assert list(frame["budget"]) == ["dense", "0.7", "0.012M params"]
    assert list(frame["macs"]) == [front[0].dense.macs, *(each.macs for each in front)]
    again = ofb_ray.front(tiny(), Toy(), budgets=(0.7,), epochs=1, out=tmp_path, quiet=True)
    assert again[0].record == front[0].record


def test_a_front_without_training_shows_what_the_cut_alone_costs() -> None:
    front = ofb_ray.front(tiny(), Toy(), budgets=(0.75, 0.3), epochs=0, quiet=True)
    assert [each.record.history for each in front] == [[], []]
    assert front[1].macs < front[0].macs
    figure, axes = plt.subplots()
    front.draw(axes)
    assert [line.get_label() for line in axes.get_lines()] == ["compressed", "dense"]
    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == [each.macs / 1e6 for each in reversed(front.results)]
    plt.close(figure)


def test_a_front_without_training_has_eight_budgets_of_one_dense_network() -> None:
    front = ofb_ray.front(tiny(), Toy(), epochs=0, dense={"epochs": 8}, quiet=True)
    assert [each.record.budget.label for each in front] == ["0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3", "0.2"]
    dense = front[0].dense.top1_val
    for each in front:
        assert {row["phase"] for row in each.record.history} == {"dense"}
        assert "search" not in each.record.seconds
        assert 0.97 < (each.record.budget.used or 0) <= 1
    assert front.frame()["share"].is_monotonic_decreasing
    half = front[4].top1_val
    assert dense is not None
    assert half is not None
    assert half > 0.8 * dense
    with pytest.raises(InputError, match="top1_test was not measured"):
        front.draw(plt.figure().add_subplot(), "top1_test")
    plt.close()


def test_a_front_by_one_search_goes_on_from_each_budget(tmp_path: Path) -> None:
    front = ofb_ray.front(tiny(), Toy(), budgets=(0.8, 0.6, 0.4), epochs=2, chain=1, out=tmp_path, quiet=True)
    searched = [sum(row["phase"] == "search" for row in each.record.history) for each in front]
    assert searched == [2, 1, 1]
    above = [[budget["macs_ratio"] for budget in each.record.spec["chain"]["above"]] for each in front.results[1:]]
    assert above == [[0.8], [0.8, 0.6]]
    with pytest.raises(InputError, match=r"budget 0\.8 is not below 0\.6"):
        ofb_ray.front(tiny(), Toy(), budgets=(0.6, 0.8), epochs=1, chain=1, quiet=True)


def test_budgets_out_of_reach_are_left_out_where_none_were_given() -> None:
    large: dict[str, Any] = {"search__space__embedding": False, "search__space__channel_min": 0.9}
    front = ofb_ray.front(tiny(), Toy(), epochs=0, quiet=True, **large)
    assert [each.record.budget.label for each in front] == ["0.9", "0.8", "0.7", "0.6", "0.5", "0.4"]
    with pytest.raises(InputError, match="below the smallest"):
        ofb_ray.front(tiny(), Toy(), epochs=0, quiet=True, search__space__keep=["*"])


def test_a_trained_front_has_three_budgets_where_none_were_given() -> None:
    front = ofb_ray.front(tiny(), Toy(), epochs=0, search={"epochs": 1}, quiet=True)
    assert [each.record.budget.label for each in front] == ["0.75", "0.5", "0.3"]


def test_all_budgets_are_checked_before_the_first_is_begun(tmp_path: Path) -> None:
    for budgets, message in (((0.5, 0.001), "below the smallest"), ((0.5, 0.5), "stands twice"), ((), "at least one")):
        with pytest.raises(InputError, match=message):
            ofb_ray.front(tiny(), Toy(), budgets=budgets, epochs=0, out=tmp_path, quiet=True)
    assert not (tmp_path / "0.5").exists()
