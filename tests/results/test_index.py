"""The index of trials: equal to what a fresh look at the folder tells, at any time, and without reading it again."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results.cells import cell_key, plain_cell
from ofb_ray.results.files import RECORD_FILE, JsonFile, Progress, TrialFile, trial_folder
from ofb_ray.results.index import Cell, TrialIndex
from ofb_ray.results.records import read_record, write_record
from tests.tuning.fake import make_record
from tests.tuning.optuna.studies import FAILED, sweep

GROWN: Json = {"budgets": [0.5, 0.75], "seeds": [0, 1], "finetune": {"epochs": 5}}
SPEC = sweep(**GROWN, trials=4, promote={"best": 2, "epochs": 9})


def trial_of(index: TrialIndex, cell: Cell, number: int, promotes: int | None = None) -> TrialFile:
    spec = index.spec.trial(cell.values, {})
    known: dict[str, Any] = {} if promotes is None else {"promotes": promotes}
    values, tree = plain_cell(cell.values), spec.model_dump(mode="json")
    return TrialFile(trial=number, key=spec.key, cell=values, label=cell.label, spec=tree, **known)


def end(index: TrialIndex, number: int, **changes: Any) -> None:
    """What a trial and its driver do at its end."""
    trial = index.trial(number)
    record = make_record(trial.resolved(), number, **changes)
    write_record(trial_folder(index.results, number), record)
    index.close(number, record.outcome)


def known(index: TrialIndex) -> Json:
    """All that an index answers."""
    cell = index.next_cell()
    return {
        "facts": index.facts,
        "counts": (index.done, index.suggestions, index.suggestions_left, index.promotions_left, index.total),
        "numbers": (index.next_number(), index.last_number()),
        "lists": (index.suggested, index.failed(), index.promoted_open(), index.to_promote(), index.promoted),
        "cell": cell.key if cell else None,
    }


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_it_knows_what_the_folder_tells(tmp_path: Path, seed: int) -> None:
    """Trials begin, end well or badly, die, are tried again and are promoted, in any order."""
    draw = random.Random(seed)
    index = TrialIndex.read(tmp_path, SPEC)
    for _ in range(60):
        open_ = [fact.number for fact in index.facts if fact.outcome is None]
        what = draw.choice(["issue", "end", "end", "die", "retry"])
        if what == "issue" and (cell := index.next_cell()) is not None:
            index.issue(trial_of(index, cell, index.next_number()))
        elif what == "issue" and (donors := index.to_promote()):
            cell = index.cell(cell_key(index.trial(donors[0]).cell))
            index.issue(trial_of(index, cell, index.last_number(), donors[0]))
        elif what == "end" and open_:
            top1 = draw.choice([80.0, 90.0, 95.0])
            number = draw.choice(open_)
            end(index, number, **draw.choice([FAILED, {"seconds": {"search": top1}}, {}]))
        elif what == "die" and open_:
            number = draw.choice(open_)
            Progress(phase="died", message="a full disk").write(trial_folder(tmp_path, number))
            index.close(number, None)
        elif what == "retry" and (failed := index.failed()):
            number = draw.choice(failed)
            for path in (RECORD_FILE, Progress.NAME):
                (trial_folder(tmp_path, number) / path).unlink(missing_ok=True)
            index.reopen(number)
        assert known(index) == known(TrialIndex.read(tmp_path, SPEC))
    assert index.done > 5


def test_no_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = TrialIndex.read(tmp_path, SPEC)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    while (cell := index.next_cell()) is not None:
        number = index.next_number()
        index.issue(trial_of(index, cell, number))
        end(index, number)
        assert index.total == 16 + 2 * 2
    donors = index.to_promote()
    assert len(donors) == 4
    index.issue(trial_of(index, index.cell(cell_key(index.trial(donors[0]).cell)), index.last_number(), donors[0]))
    assert index.to_promote() == donors[1:]


def test_cells_take_turns_and_gaps_are_filled(tmp_path: Path) -> None:
    index = TrialIndex(tmp_path, SPEC)
    turns = []
    for _ in range(6):
        cell = index.next_cell()
        assert cell is not None
        turns.append((cell.label, cell.values["seed"]))
        index.issue(trial_of(index, cell, index.next_number()))
    assert turns == [("0.5", 0), ("0.5", 1), ("0.75", 0), ("0.75", 1), ("0.5", 0), ("0.5", 1)]
    shutil.rmtree(trial_folder(tmp_path, 3))
    again = TrialIndex.read(tmp_path, SPEC)
    cell = again.next_cell()
    assert cell is not None
    assert (again.next_number(), cell.label, cell.values["seed"]) == (3, "0.75", 1)
    again.reserve(3, cell.key)
    again.reserve(3, cell.key)  # a second time changes nothing
    assert (again.next_number(), again.suggestions) == (6, 16)


def test_a_sweep_that_grows_counts_its_new_cells(tmp_path: Path) -> None:
    index = TrialIndex(tmp_path, sweep(**{**GROWN, "seeds": [0]}, trials=1))
    while (cell := index.next_cell()) is not None:
        index.issue(trial_of(index, cell, index.next_number()))
    assert (index.total, index.suggestions_left) == (2, 2)
    grown = TrialIndex.read(tmp_path, SweepSpec.model_validate(index.spec.model_copy(update={"seeds": (0, 1)})))
    assert (grown.total, grown.suggestions_left) == (4, 4)
    assert Counter(cell.count for label in grown.labels for cell in grown.cells(label)) == {1: 2, 0: 2}


def test_a_foreign_trial_file_is_named(tmp_path: Path) -> None:
    folder = trial_folder(tmp_path, 0)
    folder.mkdir()
    (folder / TrialFile.NAME).write_text('{"trial": "first"}')
    with pytest.raises(ValueError, match=r"^\S+/00000/trial\.json: trial: "):
        TrialFile.read(folder)


def test_keys_that_were_not_given_stay_out_of_a_file(tmp_path: Path) -> None:
    Progress(phase="search", epoch=0, loss=None).write(tmp_path)
    assert (tmp_path / Progress.NAME).read_text().split() == [
        "{",
        '"phase":',
        '"search",',
        '"epoch":',
        "0,",
        '"loss":',
        "null",
        "}",
    ]
    assert JsonFile.__subclasses__()
    for kind in JsonFile.__subclasses__():
        assert kind is Progress or kind.read(tmp_path) is None
        undescribed = [name for name, field in kind.model_fields.items() if not field.description]
        assert undescribed == []


def test_a_record_has_its_outcome(tmp_path: Path) -> None:
    record = make_record(SPEC.trial(SPEC.cells[0], {}))
    write_record(tmp_path, record)
    stored = read_record(tmp_path)
    assert stored is not None
    outcome = stored.outcome
    assert (outcome.status, outcome.subnet, outcome.budget) == ("finished", record.subnet, record.budget)
    assert outcome.merit == (-record.subnet.top1_val, 500_000) if record.subnet and record.subnet.top1_val else None
