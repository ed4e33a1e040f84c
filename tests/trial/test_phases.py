"""The states of a trial survive their file, and each follows from the one before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofb_ray.results.files import STATE_FILE
from ofb_ray.train import checkpoint
from ofb_ray.trial import phases
from ofb_ray.trial import plan as planning
from ofb_ray.trial.phases import DenseTraining, FineTuning, Searched, Searching
from ofb_ray.trial.run import run_trial
from tests.small import small_spec

ROWS = [{"phase": "search", "epoch": 1, "loss": 0.5}]
ARCH = {"format": 1, "widths": {"embed": {"heads": 1, "width": 32}}}
EVENTS = [{"axis": "embed", "from": 64, "to": 32}]
STATES = [
    Searching(),
    Searching(ROWS, {"search": 1.5}),
    Searched(ARCH, {"head.bias": torch.arange(3.0)}, EVENTS, {"epoch": [0, 1]}, ROWS, {"search": 1.5}),
    FineTuning(ARCH, EVENTS, ROWS, {"search": 1.5, "finetune": 0.5}, None),
]


def through_a_file(plain: checkpoint.State, folder: Path) -> checkpoint.State:
    checkpoint.save(folder / STATE_FILE, plain)
    stored = checkpoint.load(folder / STATE_FILE)
    assert stored is not None
    return stored


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_a_state_survives_its_file(state: phases.TrialState, tmp_path: Path) -> None:
    plain = through_a_file(phases.to_plain(state, "k"), tmp_path)
    assert plain["key"] == "k"
    back = phases.trial_state(plain)
    assert type(back) is type(state)
    for name, value in vars(state).items():
        if name == "weights":
            assert torch.equal(vars(back)[name]["head.bias"], value["head.bias"])
        else:
            assert vars(back)[name] == value, name


def test_what_the_loop_goes_on_from_is_in_the_file_alone(tmp_path: Path) -> None:
    """The loop holds its tensors; a second hold would keep a network alive that a cut has replaced."""
    state = phases.dense_epoch(DenseTraining(), ROWS[0], 2.0)
    assert state == DenseTraining(ROWS, 2.0, None)
    plain = through_a_file(phases.to_plain(state, "k", {"epoch": 1}), tmp_path)
    assert phases.dense_state(plain) == DenseTraining(ROWS, 2.0, {"epoch": 1})


def test_each_state_follows_from_the_one_before() -> None:
    searching = phases.search_epoch(Searching(), ROWS[0], 3.0)
    assert searching == Searching(ROWS, {"search": 3.0})
    searched = phases.end_search(searching, ARCH, {}, EVENTS, {"epoch": [0]})
    assert (searched.history, searched.seconds, searched.events) == (ROWS, {"search": 3.0}, EVENTS)
    row = {"phase": "finetune", "epoch": 1}
    tuned = phases.finetune_epoch(searched, row, 1.0)
    assert tuned == FineTuning(ARCH, EVENTS, [*ROWS, row], {"search": 3.0, "finetune": 1.0}, None)
    assert phases.finetune_epoch(tuned, row, 2.0).seconds == {"search": 3.0, "finetune": 2.0}
    assert searched.history == ROWS  # nothing is shared with what follows


def test_a_trial_is_planned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its goal and its description come from the plan, however many phases need them."""
    calls: list[str] = []

    def counted(name: str) -> None:
        function = getattr(planning, name)

        def count(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        monkeypatch.setattr(planning, name, count)

    for name in ("goal_of", "describe_backbone"):
        counted(name)
    phase = {"epochs": 1, "batch_size": 64}
    spec = small_spec(data={"train_limit": 100}, dense=phase, search=phase, finetune=phase)
    assert run_trial(spec, lambda _: None, tmp_path / "trial", shared=tmp_path / "shared").status == "finished"
    assert sorted(calls) == ["describe_backbone", "goal_of"]
