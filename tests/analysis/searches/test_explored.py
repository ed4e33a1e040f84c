"""What was explored has the range of its sweep."""

from __future__ import annotations

from pathlib import Path

from analysis.searches.explored import Parameter, groups
from analysis.trials.read import read
from tests.analysis.factory import failed, searched, write, write_trial_file


def test_ranges_come_from_the_sweep_and_promoted_trials_are_left_out(tmp_path: Path) -> None:
    trials = [searched(0, params_explored={"search.lr": 0.5, "search.mask": "both", "free": 3}), searched(1), failed(2)]
    trials.append(searched(3, macs=900_000))  # over its budget: no accuracy to compare
    folder = write(tmp_path, trials)
    sweep = "name: digits\nparameters:\n  search.lr: {min: 0.1, max: 2, log: true}\ngrid:\n  search.mask: [both, x]\n"
    (folder / "sweep.yaml").write_text(sweep, encoding="utf-8")
    write_trial_file(folder, trials[1], promotes=0)
    (found,) = groups(read([folder]))
    assert found.parameters == (
        Parameter("search.lr", (), 0.1, 2, True),
        Parameter("search.mask", ("both", "x")),
        Parameter("free", (), 3, 3),
        Parameter("search.one_hot_weight", (), 0.52, 0.53),
    )
    assert found.top1 == (97.5, None, None)
