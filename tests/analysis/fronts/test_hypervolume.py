"""The hypervolume and how it grew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from analysis.drawing.hypervolume_growth import growth_figure
from analysis.fronts.hypervolume import growth, reference_of, total
from analysis.fronts.objectives import Objective, objective
from analysis.trials.read import read
from analysis.trials.trial import Results
from ofb_ray.results.ranking import hypervolume
from ofb_ray.results.records import Record
from tests.analysis.factory import DENSE, failed, record, write


def pair(results: Results, x: str = "macs", y: str = "top1_val") -> tuple[Objective, Objective]:
    return objective(x, results), objective(y, results)


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([], 0.0),
        ([(90.0, 4.0)], 10 * 6.0),
        ([(90.0, 4.0), (95.0, 8.0)], 10 * 4.0 + 15 * 2.0),
        ([(90.0, 4.0), (85.0, 8.0)], 10 * 6.0),  # a point that another beats adds nothing
        ([(90.0, 4.0), (90.0, 2.0)], 10 * 8.0),
        ([(90.0, 10.0), (99.0, 12.0)], 0.0),  # at and beyond the reference
        ([(80.0, 1.0)], 0.0),
        ([(90.0, 4.0), (float("inf"), 5.0), (float("nan"), 1.0)], 10 * 6.0),  # what is not finite does not count
    ],
)
def test_the_hypervolume_is_the_area_that_points_dominate(points: list[tuple[float, float]], area: float) -> None:
    for some in (points, points[::-1]):
        assert hypervolume(some, (80.0, 10.0), (1, -1)) == pytest.approx(area)
        mirrored = [(-y, -x) for y, x in some]
        assert hypervolume(mirrored, (-80.0, -10.0), (-1, 1)) == pytest.approx(area)


def test_the_share_of_a_sweep_by_hand(tmp_path: Path) -> None:
    trials = [record(0, 0.5, 80.0, macs=400_000), record(1, 0.75, 90.0, macs=700_000), record(2, 0.5, macs=900_000)]
    results = read([write(tmp_path, trials)])
    found = total(results, *pair(results))
    assert found is not None
    # The reference is top-1 0 % at 1,000 K MACs: 80 * (700 - 400) + 90 * (1000 - 700) = 51,000 of 100 * 1000. Trial 2
    # is over its budget.
    assert found[0] == pytest.approx(0.51)
    assert (found[1].y, found[1].x) == (0.0, DENSE.macs)
    assert growth(results, *pair(results))[0].volumes == pytest.approx((80 * 600 / 1e5, 0.51, 0.51))


def test_test_accuracy_chooses_no_trial_of_the_hypervolume(tmp_path: Path) -> None:
    def told(number: int, val: float, test: float) -> Record:
        made = record(number, 0.5, val, macs=400_000)
        assert made.subnet is not None
        return made.model_copy(update={"subnet": made.subnet.model_copy(update={"top1_test": test})})

    results = read([write(tmp_path, [told(0, 90.0, 80.0), told(1, 89.0, 95.0)])])
    found = total(results, *pair(results, y="top1_test"))
    assert found is not None
    assert found[0] == pytest.approx(0.8 * 0.6)  # of trial 0, which held-out accuracy selects
    assert growth(results, *pair(results, y="top1_test")) == []


def test_accuracies_on_different_data_have_no_common_hypervolume(tmp_path: Path) -> None:
    one = write(tmp_path / "a", [record(n, ratio, 90.0 + n) for n, ratio in enumerate((0.25, 0.5, 0.75))], name="a")
    two = write(tmp_path / "b", [record(0, 0.5, 60.0, spec={"data": {"name": "cifar10"}})], name="b")
    results = read([one, two])
    assert total(results, *pair(results)) is None
    assert growth(results, *pair(results)) == []
    assert total(read([one]), *pair(read([one]))) is not None


def test_it_never_falls_and_ends_at_the_total(tmp_path: Path) -> None:
    draw_ = random.Random(3)
    trials = [
        record(n, 0.25 + 0.25 * (n % 3), 60 + 39 * draw_.random(), seconds={"search": 1 + 9 * draw_.random()})
        for n in range(60)
    ]
    points = [(trial.subnet.top1_val or 0.0, float(trial.subnet.macs)) for trial in trials if trial.subnet]
    raw = [hypervolume(points[:count], (0.0, 1e6), (1, -1)) for count in range(len(points))]
    assert raw == sorted(raw)
    results = read([write(tmp_path, trials)])
    for names in (("macs", "top1_val"), ("params", "top1_val"), ("search_cost", "top1_val"), ("top1_val", "params")):
        (found,) = growth(results, *pair(results, *names))
        whole = total(results, *pair(results, *names))
        assert list(found.volumes) == sorted(found.volumes)
        assert whole is not None
        assert found.volumes[-1] == pytest.approx(whole[0])
        assert 0 < whole[0] < 1


def test_time_is_that_of_the_records(tmp_path: Path) -> None:
    # Trial 1 ended first, half an hour after it had begun; 26.5 s are the factory's.
    times = ["2026-01-01T12:30:00+00:00", "2026-01-01T11:00:00Z", "2026-01-01T13:00:00"]
    trials = [record(n, 0.5, 90.0 + n, finished=time) for n, time in enumerate(times)]
    results = read([write(tmp_path, trials)])
    (found,) = growth(results, *pair(results))
    assert found.hours == pytest.approx([26.5 / 3600, 1.5 + 26.5 / 3600, 2 + 26.5 / 3600])
    assert found.volumes[0] == found.volumes[1] < found.volumes[2]  # 91, then 90, then 92


def test_times_are_drawn_only_where_every_record_states_one(tmp_path: Path) -> None:
    trials = [record(0, 0.5, 92.0, finished="2026-01-01T12:00:00+00:00"), record(1, 0.5, 90.0)]
    results = read([write(tmp_path, trials)])
    (found,) = growth(results, *pair(results))
    assert found.hours is None
    assert found.volumes[0] == found.volumes[1]  # in the order of their numbers


def test_without_times_there_is_one_panel_that_says_so(tmp_path: Path) -> None:
    results = read([write(tmp_path / "a", [record(0)])])
    figure = growth_figure(results, *pair(results))
    assert figure is not None
    assert len(figure.axes) == 1
    assert "order of their numbers" in figure.get_supxlabel()
    failures = read([write(tmp_path / "b", [failed(0)])])
    assert growth_figure(failures, *pair(failures)) is None
    nothing = read([write(tmp_path / "c", [failed(0, dense=None)])])
    assert reference_of(nothing, *pair(nothing)) is None
