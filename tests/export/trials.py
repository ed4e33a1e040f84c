"""Finished trials, made up, whose subnets are real: one of any kind in `tests/nets.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ofb_ray.config import DataSpec, TrialSpec
from ofb_ray.export import Arch, make_arch, save_network
from ofb_ray.method.axis import Widths
from ofb_ray.results.records import BudgetOutcome, Network, Record, write_record
from tests.nets import NETS, SHAPE, decide, supernet

DATA = DataSpec(image_size=SHAPE[1], mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2), interpolation="bilinear", crop=0.9)


def subnet(kind: str) -> tuple[nn.Module, Widths]:
    """A random subnet with random weights, and its widths."""
    net = decide(supernet(kind))
    return net.fuse().eval(), net.backbone.widths


def write_trial(folder: Path, kind: str, net: nn.Module, widths: Widths, **changes: Any) -> Record:
    """A finished trial of that subnet; `changes` are fields of Record."""
    arch = make_arch(NETS[kind].name, NETS[kind].args, widths, DATA)
    save_network(net, arch, folder)
    spec = TrialSpec(model=NETS[kind], data=DATA, budget={"macs_ratio": 0.5}, seed=3)
    seconds = {"dense": 1.0, "search": 2.0, "finetune": 3.0}
    environment = {"torch": "2.14.1", "device": "cpu", "device_name": "a CPU", "train_images": 1500}
    return finished(folder, spec, arch, **{"seconds": seconds, "environment": environment, **changes})


def finished(folder: Path, spec: TrialSpec, arch: Arch, /, **changes: Any) -> Record:
    """Write the record of a trial whose network is there; `changes` are fields of Record."""
    fields: dict[str, Any] = {
        "trial": 7,
        "sweep": "small",
        "key": spec.key,
        "status": "finished",
        "spec": spec.model_dump(mode="json"),
        "seed": spec.seed,
        "budget": BudgetOutcome(label="0.5", resource="macs", target=500_000, used=0.998),
        "dense": Network(macs=1_000_000, params=20_000, top1_val=91.0, top1_test=90.0),
        "subnet": Network(macs=499_000, params=9_000, top1_val=90.5, top1_test=89.25),
        "arch": arch,
    }
    record = Record(**{**fields, **changes})
    write_record(folder, record)
    return record
