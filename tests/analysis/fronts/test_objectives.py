"""What a front can be drawn of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.fronts.budgets import budgets
from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import IN_INT8, default_x, objective
from analysis.names import OBJECTIVES
from analysis.trials.read import read
from analysis.trials.trial import Results
from ofb_ray.errors import InputError
from ofb_ray.results.records import BudgetOutcome, LatencyOutcome, Record
from tests.analysis.factory import DENSE, failed, record, write, write_int8


def measured(folder: Path, **changes: Any) -> Results:
    """Results with two trials, the first with a measured latency."""
    write(folder, [record(0), record(1)])
    rows = [
        {"network": network, "backend": backend, "batch": batch, "median_ms": time}
        for network, scale in (("dense", 2.0), ("subnet", 1.0))
        for backend, batch, time in (("torch", 1, 3.0 * scale), ("onnxruntime", 16, 20.0 * scale))
    ]
    tree = {"format": 1, "device_name": "a CPU", "threads": 2, "rows": rows, **changes}
    (folder / "00000" / "latency.json").write_text(json.dumps(tree))
    return read([folder])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_a_label_and_a_goal(tmp_path: Path, name: str) -> None:
    results = measured(tmp_path)
    found = objective(name, results)
    assert found.label
    assert found.goal == (1 if name.startswith("top") else -1)
    assert found.of(results.trials[0]) is not None or name.startswith(("top5", "latency_ratio"))


@pytest.mark.parametrize(("name", "subnet", "dense"), [("latency", 3.0, 6.0), ("latency:onnxruntime:16", 20.0, 40.0)])
def test_latency_is_the_measured_median_of_its_backend_and_batch(
    tmp_path: Path, name: str, subnet: float, dense: float
) -> None:
    results = measured(tmp_path)
    found = objective(name, results)
    assert [found.of(trial) for trial in results.trials] == [subnet, None]
    assert found.dense(results.trials[0]) == dense
    assert "a CPU" in found.label
    what = front_data(results, found, objective("top1_val", results))
    assert what.unmeasured == 1
    assert [x for _, x, _ in what.dense] == [dense]
    assert found.remedy == f"`ofb-ray latency {tmp_path}` measures it"


def test_latency_in_int8_is_that_of_its_own_file_where_it_was_not_measured_since(tmp_path: Path) -> None:
    name, row = "latency:onnxruntime-int8:1", {"backend": "onnxruntime-int8", "batch": 1}
    results = measured(tmp_path)
    assert objective(name, results).of(results.trials[0]) is None
    assert objective(name, results).remedy == f"`ofb-ray latency {tmp_path} --backend onnxruntime-int8` measures it"
    times = {"dense": 6.0, "subnet": 1.5, "subnet-float32": 3.0}
    rows = [{"network": network, "median_ms": time, **row} for network, time in times.items()]
    latency = {"device_name": "a CPU", "threads": 2, "rows": rows}
    write_int8(tmp_path / "00000", latency=latency)
    found = objective(name, read([tmp_path]))
    assert (found.of(results.trials[0]), found.dense(results.trials[0])) == (1.5, 6.0)
    assert found.notes == (IN_INT8,)
    rows[1]["median_ms"] = 1.25
    (tmp_path / "00000" / "latency.json").write_text(json.dumps(latency))
    assert objective(name, read([tmp_path])).of(results.trials[0]) == 1.25
    assert objective("latency", read([tmp_path])).of(results.trials[0]) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": 3}', '{"rows": [{"network": "subnet"}]}', '{"rows": ["a"]}'])
def test_a_torn_or_foreign_latency_file_is_no_value(tmp_path: Path, text: str) -> None:
    write(tmp_path, [record(0)])
    (tmp_path / "00000" / "latency.json").write_text(text)
    results = read([tmp_path])
    assert objective("latency", results).of(results.trials[0]) is None


def test_latencies_of_different_machines_are_said_not_to_compare(tmp_path: Path) -> None:
    results = measured(tmp_path)
    tree = json.loads((tmp_path / "00000" / "latency.json").read_text())
    (tmp_path / "00001" / "latency.json").write_text(json.dumps({**tree, "threads": 8}))
    assert objective("latency", results).notes
    assert "do not compare" in objective("latency", read([tmp_path])).notes[0] if results.trials else False
    (tmp_path / "00001" / "latency.json").write_text(json.dumps(tree))
    assert objective("latency", read([tmp_path])).notes == ()


def test_search_cost_is_gpu_time_only_where_every_record_has_it(tmp_path: Path) -> None:
    both = [record(n, gpu_seconds={"dense": 1.0, "search": 2.0, "finetune": 3.0}) for n in range(2)]
    results = read([write(tmp_path / "gpu", [*both, failed(2)])])
    found = objective("search_cost", results)
    assert (found.of(results.trials[0]), "GPU time" in found.label, found.notes) == (5.0, True, ())
    results = read([write(tmp_path / "mixed", [both[0], record(1)])])
    found = objective("search_cost", results)
    assert [found.of(trial) for trial in results.trials] == [18.5, 18.5]  # 12.5 s of search, 6 s of fine-tuning
    assert "wall time" in found.label
    assert found.notes
    assert found.dense(results.trials[0]) is None


def test_unknown_objectives_name_the_option_and_what_is_allowed(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)])])
    for name in ("flops", "latency:torch", "latency:torch:0", "latency:torch:x", "latency:tpu:1", ""):
        with pytest.raises(InputError, match=r"--y.*latency:onnxruntime:16"):
            objective(name, results, "y")


def test_the_dense_network_is_placed_by_every_objective_it_has(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)])])
    for x, value in (("macs", DENSE.macs), ("params", DENSE.params), ("search_cost", None)):
        what = front_data(results, objective(x, results), objective("top1_val", results))
        assert [place for _, place, _ in what.dense] == [value]
    assert front_data(results, objective("params", results), objective("top1_val", results)).minimum is None


def test_there_is_no_front_over_different_data(tmp_path: Path) -> None:
    trials = [record(0, 0.25, 90.0), record(1, 0.5, 95.0), record(2, 0.75, 97.0)]
    one = write(tmp_path / "a", trials, name="a")
    other = [each.model_copy(update={"spec": {**each.spec, "data": {"name": "cifar10"}}}) for each in trials]
    two = write(tmp_path / "b", other, name="b")
    for folders, points in (([one], 3), ([one, two], 0)):
        results = read(folders)
        drawn = front_data(results, objective("macs", results), objective("top1_val", results))
        assert len(drawn.front) == points


def test_the_latency_that_a_trial_measured_is_a_ratio_to_the_dense_network(tmp_path: Path) -> None:
    outcome = LatencyOutcome(target_ms=5.0, predicted_ms=4.9, dense_ms=10.0, ratio=0.49)
    write(tmp_path, [record(0, latency=outcome), record(1)])
    results = read([tmp_path])
    found = objective("latency_ratio", results)
    assert [found.of(trial) for trial in results.trials] == [0.49, None]
    assert [found.dense(trial) for trial in results.trials] == [1.0, None]


def limited(number: int, dense_ns: int, share: float, ratio: float | None, seed: int = 0) -> Record:
    """A finished trial of a budget of latency, on a device of its own: `dense_ns` there."""
    target, plain = int(share * dense_ns), record(number, 0.5, 97.0 + number / 10)
    assert plain.subnet is not None
    outcome = LatencyOutcome(
        target_ms=target / 1e6, predicted_ms=0.99 * target / 1e6, dense_ms=dense_ns / 1e6, ratio=ratio
    )
    budget = BudgetOutcome(label=f"latency {share}", resource="latency_ns", target=target, minimum=dense_ns // 5)
    return record(
        number,
        budget=budget,
        latency=outcome,
        seed=seed,
        dense=DENSE.model_copy(update={"latency_ns": dense_ns}),
        subnet=plain.subnet.model_copy(update={"latency_ns": int(0.99 * target)}),
    )


def test_fronts_are_over_latency_where_all_budgets_limit_it(tmp_path: Path) -> None:
    both = [limited(0, 10_000_000, 0.4, 0.41), limited(1, 10_000_000, 0.6, 0.58)]
    results = read([write(tmp_path / "timed", both)])
    assert default_x(results) == "latency_ratio"
    data = front_data(results, objective("latency_ratio", results), objective("top1_val", results))
    assert [point.x for point in data.shown] == [0.41, 0.58]
    assert "measured" in data.x.label
    ticks, what = data.ticks
    assert [(tick.x, tick.label) for tick in ticks] == [(0.4, "0.4"), (0.6, "0.6")]
    assert what == "share of the latency"
    assert data.minimum == 0.2
    assert default_x(read([write(tmp_path / "mixed", [both[0], record(1)])])) == "macs"
    assert default_x(read([write(tmp_path / "none", [])])) == "macs"


def test_where_no_subnet_was_timed_its_table_tells(tmp_path: Path) -> None:
    results = read([write(tmp_path, [limited(0, 10_000_000, 0.4, None)])])
    ratio = objective("latency_ratio", results)
    assert ratio.of(results.trials[0]) == pytest.approx(0.396)
    assert ratio.dense(results.trials[0]) == 1.0
    assert "by its table" in ratio.label


def test_a_budget_of_latency_is_one_on_all_devices(tmp_path: Path) -> None:
    """Two machines, two tables: the same share is another number of nanoseconds."""
    results = read([write(tmp_path, [limited(0, 10_000_000, 0.4, 0.41), limited(1, 20_000_000, 0.4, 0.39, seed=1)])])
    (group,) = budgets(results)
    assert [trial.number for trial in group.trials] == [0, 1]
    assert group.setting is not None
    assert group.setting.n == 2
