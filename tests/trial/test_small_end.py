"""Budgets below what all parts cost at their smallest: whole parts go, and the trial is one like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ofb_ray
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.results.files import TRACE_FILE
from ofb_ray.results.records import Record
from ofb_ray.trial.plan import plan
from ofb_ray.trial.run import run_trial
from tests.small import small_spec

SPACE = {"head_min": 0, "mlp_min": 0}


class Stopped(Exception):
    """The process is gone, as far as the trial can tell."""


def spec_of(**search: Any) -> TrialSpec:
    return small_spec(search={"space": SPACE, **search}, budget=0.08)


def gone(record: Record) -> list[str]:
    assert record.arch is not None
    return [axis for axis, size in record.arch["widths"].items() if not size["heads"] * size["width"]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.mark.parametrize("search", [{}, {"recipe": "paper"}, {"mask": "sparsity"}, {"epochs": 0}], ids=str)
def test_a_budget_that_only_missing_parts_reach_is_met(search: dict[str, Any], tmp_path: Path, shared: Path) -> None:
    with pytest.raises(InputError, match="below the smallest"):
        plan(small_spec(budget=0.08))
    spec = spec_of(**search)
    record = run_trial(spec, lambda _: None, tmp_path, shared=shared)
    assert record.status == "finished", record.reason
    assert gone(record)
    assert record.subnet is not None
    assert record.subnet.macs <= plan(spec).target
    assert record.subnet.macs >= 0.99 * plan(spec).target or record.budget.note
    net = ofb_ray.load(tmp_path)
    assert operator_macs(net, (1, 8, 8)) == record.subnet.macs
    assert sum(param.numel() for param in net.parameters()) == record.subnet.params
    with np.load(tmp_path / TRACE_FILE) as trace:
        sizes = trace["candidate_heads"] * trace["candidate_width"]
        chosen = trace["p"][-1].nonzero()[0]
        empty = trace["axis"][trace["candidate_axis"][chosen[sizes[chosen] == 0]]]
    assert empty.tolist() == gone(record)


@pytest.mark.parametrize("phase", ["search", "finetune"])
def test_a_trial_that_was_stopped_equals_one_that_was_not(phase: str, tmp_path: Path, shared: Path) -> None:
    def stop(report: dict[str, Any]) -> None:
        if (report["phase"], report.get("epoch")) == (phase, 2):
            raise Stopped

    whole = run_trial(spec_of(), lambda _: None, tmp_path / "whole", shared=shared)
    with pytest.raises(Stopped):
        run_trial(spec_of(), stop, tmp_path / "stopped", shared=shared)
    again = run_trial(spec_of(), lambda _: None, tmp_path / "stopped", shared=shared)
    assert gone(whole)
    facts = [json.loads((tmp_path / name / "record.json").read_text()) for name in ("whole", "stopped")]
    for fact in facts:
        for key in ("seconds", "peak_memory_bytes", "finished"):
            fact.pop(key, None)
    assert facts[0] == facts[1]
    assert again.arch == whole.arch
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]
