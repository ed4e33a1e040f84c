"""Latency: networks are timed in turns, and every trial gets its `latency.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from ofb_ray.cli import main
from ofb_ray.errors import InputError
from ofb_ray.export import timing
from ofb_ray.export.latency import DENSE, SUBNET, Measured, find_subjects, measure_trials
from ofb_ray.export.timing import BACKENDS, Times, run_interleaved
from ofb_ray.results.files import trial_folder
from tests.export.trials import subnet, write_trial

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder: trials 0 and 1 are subnets of one ViT, trial 2 of a Swin, trial 3 has failed."""
    root = tmp_path_factory.mktemp("results")
    for number, kind in enumerate(("plain", "plain", "swin", "plain")):
        status: dict[str, Any] = {"status": "failed", "reason": "NaN"} if number == 3 else {}
        write_trial(trial_folder(root, number), kind, *subnet(kind), trial=number, **status)
    return root


class FakeClock:
    """A clock that calls set forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("ofb_ray.export.timing.time.perf_counter", self.read)

    def read(self) -> float:
        return self.now

    def call(self, seconds: float, log: list[float]) -> timing.Call:
        def advance() -> None:
            log.append(seconds)
            self.now += seconds

        return advance


def test_networks_are_timed_in_turns_until_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = FakeClock(monkeypatch), list[float]()
    calls = {"a": clock.call(0.25, log), "b": clock.call(0.5, log)}
    times = run_interleaved(calls, cap_seconds=4.0, least_rounds=1000, clock=clock.read)
    assert log == [0.25] * 3 + [0.5] * 3 + [0.25, 0.5] * 6  # three to warm up; the sixth round passes the cap
    assert times["a"].seconds.tolist() == [0.25] * 6
    assert times["b"].interval == (0.5, 0.5)


def test_it_ends_when_the_medians_are_known_and_not_before_three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(monkeypatch)
    times = run_interleaved({"a": clock.call(1.0, [])}, cap_seconds=1000.0, least_rounds=20, clock=clock.read)
    assert len(times["a"].seconds) == 20
    times = run_interleaved({"a": clock.call(1.0, [])}, cap_seconds=0.5, clock=clock.read)
    assert len(times["a"].seconds) == 3


def test_a_call_too_short_for_the_clock_is_repeated_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = FakeClock(monkeypatch), list[float]()
    times = run_interleaved({"a": clock.call(2**-12, log)}, cap_seconds=0.0, clock=clock.read)
    assert len(log) == 3 + 3 * 9  # 9 calls of 0.24 ms are more than 2 ms
    assert times["a"].median == 2**-12


@pytest.mark.parametrize(
    ("seconds", "stable"),
    [
        ([1.0] * 15, True),
        ([1.0] * 3, False),
        ([1.0, 1.05] * 20, False),
        ([1.0] * 30 + [50.0] * 5, True),
        (list(np.linspace(0.9, 1.1, 40)), False),
        (list(np.linspace(0.97, 1.03, 400)), True),
    ],
    ids=["constant", "too few", "two modes", "outliers", "wide", "wide but many"],
)
def test_a_median_is_stable_when_its_confidence_interval_is_narrow(seconds: list[float], stable: bool) -> None:
    rng = np.random.default_rng(0)
    assert timing._is_stable(rng.permutation(seconds).tolist()) is stable


def test_the_ratio_is_taken_round_by_round() -> None:
    """A machine that is twice as slow in half of the rounds changes the times, not their ratio."""
    load = np.array([1.0, 2.0, 1.0, 2.0, 2.0])
    measured = Measured("torch", 1, {DENSE: Times(load), "subnet": Times(0.4 * load)})
    assert measured.ratio("subnet") == pytest.approx((0.4, 0.4, 0.4))


def test_the_ratio_is_a_median_with_its_quantiles() -> None:
    ones = np.ones(11)
    measured = Measured("torch", 1, {DENSE: Times(ones), "subnet": Times(np.arange(11.0))})
    assert measured.ratio("subnet") == pytest.approx((5.0, 1.0, 9.0))


def test_onnxruntime_has_the_threads_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the ratio of two backends, and the stated threads, would be wrong."""
    made: list[onnxruntime.SessionOptions] = []
    session = onnxruntime.InferenceSession

    def remember(model: bytes, options: onnxruntime.SessionOptions, **_: Any) -> onnxruntime.InferenceSession:
        made.append(options)
        return session(model)

    monkeypatch.setattr(onnxruntime, "InferenceSession", remember)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    timing.make_call(net, torch.zeros(1, 3, 2, 2), "onnxruntime")()
    assert [(each.intra_op_num_threads, each.inter_op_num_threads) for each in made] == [(3, 1)]


def test_every_trial_gets_its_document_and_those_of_one_dense_network_share_a_run(results: Path) -> None:
    subjects = find_subjects([str(results)])
    assert [Path(each.location).name for each in subjects] == ["00000", "00001", "00002"]
    found = measure_trials(subjects, backends=["torch"], batches=[1, 3], device=CPU, cap_seconds=0.05)
    first, second, third = found.values()
    assert [row["network"] for row in first["rows"]] == [DENSE, SUBNET] * 2
    assert [row["batch"] for row in first["rows"]] == [1, 1, 3, 3]
    assert first["rows"][0] == second["rows"][0] != third["rows"][0]
    assert first["rows"][1] != second["rows"][1]
    for document in found.values():
        assert (document["format"], document["device"], document["input_size"]) == (1, "cpu", [3, 32, 32])
        assert document["threads"] == torch.get_num_threads()
        for row in document["rows"]:
            assert 0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"]
            assert row["images_per_second"] == pytest.approx(1e3 * row["batch"] / row["median_ms"], rel=0.01)
            assert row["rounds"] >= 3
        assert [each["mac_ratio"] for each in document["ratios"]] == [0.499, 0.499]


def test_the_command_writes_beside_the_record_and_measures_anew(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = trial_folder(results, 0)
    before = torch.get_num_threads()
    line = ["latency", str(trial), "--backend", "torch", "--batch", "2", "--threads", "1", "--seconds", "0.05"]
    assert main(line) == 0
    out = capsys.readouterr().out.splitlines()
    assert "threads: 1" in out[0]
    assert out[2].split()[:3] == ["00000", "torch", "2"]
    first = (trial / "latency.json").read_text()
    assert json.loads(first)["ratios"][0]["batch"] == 2
    assert main([*line, "--batch", "1"]) == 0
    assert [each["batch"] for each in json.loads((trial / "latency.json").read_text())["ratios"]] == [2, 1]
    assert torch.get_num_threads() == before
    assert main(["export", str(trial), "--to", str(results / "out")]) == 0
    assert "## Latency" in (results / "out" / "README.md").read_text()
    assert not [path for path in trial.iterdir() if path.name.startswith(".")]


def test_a_trial_in_a_store_gets_its_document_there(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFB_RAY_CACHE", str(results / "cache"))
    line = ["--backend", "torch", "--batch", "1", "--seconds", "0.05", "--measure"]
    assert main(["export", f"file://{trial_folder(results, 2)}", "--to", str(results / "stored"), *line]) == 0
    written = json.loads((trial_folder(results, 2) / "latency.json").read_text())
    assert written == json.loads((results / "stored" / "latency.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["nowhere", "no finished trial"]),
        (["00003"], ["00003", "no finished trial"]),
        (["00000", "--seconds", "0"], ["--seconds", "above 0"]),
    ],
)
def test_bad_places_are_refused_in_one_line(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(results)
    try:
        code = main(["latency", *arguments])
    except SystemExit as error:  # argparse's own
        code = int(error.code or 0)
    assert code == 2
    error_line = capsys.readouterr().err.splitlines()[-1]
    assert all(word in error_line for word in words)


def test_a_missing_compiler_is_told_before_anything_is_timed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofb_ray.export.timing.shutil.which", lambda _: None)
    monkeypatch.setattr(timing, "run_interleaved", lambda *_, **__: pytest.fail("timed"))
    subjects = find_subjects([str(trial_folder(results, 0))])
    with pytest.raises(InputError, match=r"C\+\+ compiler"):
        measure_trials(subjects, backends=["torch", "compile"], batches=[1], device=CPU)


@pytest.mark.slow
def test_every_backend_runs_the_network(results: Path) -> None:
    subjects = find_subjects([str(trial_folder(results, 0))])
    (document,) = measure_trials(subjects, backends=BACKENDS, batches=[2], device=CPU, cap_seconds=0.2).values()
    assert [row["backend"] for row in document["rows"]] == [name for name in BACKENDS for _ in range(2)]
    assert document["onnx_provider"] == "CPUExecutionProvider"
