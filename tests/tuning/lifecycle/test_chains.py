"""Chains on a real Ray: nothing waits in a slot, a failed point ends its own chain alone, and it can be tried again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ofb_ray.results.files import TrialFile, trial_folders
from ofb_ray.results.records import Record, read_record
from tests.tuning.test_launch import command, start


def records(results: Path) -> dict[tuple[int, str], tuple[Record, TrialFile]]:
    found = {}
    for folder in trial_folders(results):
        record, trial = read_record(folder), TrialFile.read(folder)
        assert record is not None
        assert trial is not None
        found[record.seed, record.budget.label] = record, trial
    return found


@pytest.mark.slow
def test_a_point_that_fails_ends_the_rest_of_its_chain(tmp_path: Path) -> None:
    chain = {"budgets": [0.75, 0.5, 0.4], "chain": {"epochs": 1}, "seeds": [0, 13], "finetune": {"epochs": 3}}
    line = command(tmp_path, **chain)
    line[line.index("tests.tuning.fake:run_trial")] = "tests.tuning.lifecycle.gated:run_trial"
    process = start(tmp_path, line)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 1, out + error
    first = records(tmp_path / "results" / "s")
    assert Counter(record.status for record, _ in first.values()) == {"finished": 4, "failed": 2}
    (above, bad), (below, barred) = first[13, "0.5"], first[13, "0.4"]
    assert above.reason == "loss is NaN"
    assert barred.follows == bad.trial
    assert below.reason == f"its chain ended at budget 0.5: trial {bad.trial} failed: loss is NaN"
    assert "2 failed" in out

    again = start(tmp_path, [*line, "--retry-failed"])
    out, error = again.communicate(timeout=120)
    assert again.returncode == 1, out + error
    assert f"trying again: trials {bad.trial}, {barred.trial}" in out
    second = records(tmp_path / "results" / "s")
    assert {key: record for key, (record, _) in second.items() if record.status == "finished"} == {
        key: record for key, (record, _) in first.items() if record.status == "finished"
    }
    assert second[13, "0.4"][0].reason == below.reason
