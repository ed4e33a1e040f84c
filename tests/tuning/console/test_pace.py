"""How long a sweep still takes, by the epochs that were seen."""

from __future__ import annotations

import pytest

from ofb_ray.config import PHASES, Phase, SweepSpec
from ofb_ray.results.facts import State
from ofb_ray.results.files import Progress
from ofb_ray.tuning.console.pace import Pace
from ofb_ray.tuning.console.summary import TrialView

SPEC = SweepSpec.model_validate(
    {
        "name": "s",
        "budgets": [0.25, 0.5],
        "seeds": [0, 1],
        "trials": 4,
        "dense": {"epochs": 10},
        "search": {"epochs": 20},
        "finetune": {"epochs": 10},
    }
)
BY_PHASE: dict[Phase, int] = {phase: getattr(SPEC, phase).epochs for phase in PHASES}


def view(number: int, state: State, epochs: int, seed: int = 0, seconds: float | None = None) -> TrialView:
    return TrialView(number, "0.5", state, 40, "", epochs / 40, seconds=seconds, by_phase=BY_PHASE, seed=seed)


def paced(**epochs: tuple[float, ...]) -> Pace:
    """Heard of a trial whose epochs of each phase took these seconds."""
    pace, now = Pace(), 0.0
    for phase, spans in epochs.items():
        pace.heard(0, Progress(phase=phase, epoch=0), now)
        for number, seconds in enumerate(spans, 1):
            now += seconds
            pace.heard(0, Progress(phase=phase, epoch=number), now)
    return pace


def test_seconds_are_those_of_epochs_alone() -> None:
    pace = Pace()
    for epoch, now in ((0, 0.0), (0, 50.0), (1, 52.0), (2, 55.0)):  # 50 s before the first one: data, calibration
        pace.heard(3, Progress(phase="search", epoch=epoch), now)
    pace.heard(3, Progress(phase="finetune", epoch=0), 90.0)
    assert pace.seconds("search") == 2.5
    assert pace.seconds("dense") == pytest.approx(2.5 / 1.5)


def test_nothing_is_told_before_an_epoch_has_been_seen() -> None:
    assert Pace().left(SPEC, [], 8, 2) is None


def test_dense_networks_are_counted_once_for_each_seed() -> None:
    pace = paced(dense=(2.0,) * 4)
    # 6 + 10 dense epochs of 2 s on two slots; 8 trials of 20 x 3 s + 10 x 2 s on two slots
    views = [view(0, "running", 4), view(1, "waiting", 0)]
    assert pace.left(SPEC, views, 8, 2) == 16 * 2 / 2 + 8 * 80 / 2


def test_a_dense_network_that_is_there_makes_no_jump() -> None:
    pace = paced(search=(3.0,) * 5, finetune=(1.0,))
    before = pace.left(SPEC, [view(0, "running", 15, 0), view(1, "waiting", 0, 1)], 8, 2)
    after = pace.left(SPEC, [view(0, "running", 15, 0), view(1, "running", 10, 1)], 8, 2)
    assert before is not None
    assert after is not None
    assert before - after == pytest.approx(10 * pace.seconds("dense") / 2)  # type: ignore[operator]


def test_finished_trials_add_what_is_no_epoch() -> None:
    pace = paced(search=(1.0,), finetune=(1.0,))
    views = [view(0, "finished", 40, 0, seconds=60.0), view(1, "finished", 40, 1, seconds=60.0)]
    assert pace.left(SPEC, views, 4, 1) == 120.0  # 30 epochs of 1 s took 60


def test_the_last_trial_has_one_slot() -> None:
    pace = paced(search=(1.0,), finetune=(1.0,))
    views = [view(0, "finished", 40, 0), view(1, "finished", 40, 1), view(2, "running", 20)]
    assert pace.left(SPEC, views, 3, 4) == 20.0


def test_the_later_trials_of_a_chain_search_less() -> None:
    """Two suggestions of a chain of two budgets: one trial runs, the first budget has 20 search epochs, the next 3."""
    tree = SPEC.model_dump(mode="json", exclude_unset=True)
    spec = SweepSpec.model_validate({**tree, "budgets": [0.5, 0.25], "seeds": [0], "chain": {"epochs": 3}})
    pace = paced(search=(1.0,), finetune=(1.0,))
    views = [view(0, "running", 10)]  # the dense epochs are done
    # 20 + 10 of its own, another leading trial of 30, two of 3 + 10, one at a time
    assert pace.left(spec, views, 4, 1) == 30 + 30 + 2 * 13
