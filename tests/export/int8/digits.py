"""A finished trial on the bundled digits whose network has learned something, in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import ModelSpec, SpaceSpec, TrialSpec
from ofb_ray.data import EpochPlan, completed, load
from ofb_ray.export import make_arch, save_network
from ofb_ray.results.records import Record
from tests.export.trials import finished
from tests.small import MODEL

NAMES = [f"a {digit}" for digit in range(10)]


def digits_trial(folder: Path, epochs: int = 3, data: dict[str, Any] | None = None, **changes: Any) -> Record:
    """Train the network of `tests.small` for some epochs and write it as a finished trial; `changes` are of Record."""
    spec = TrialSpec.model_validate({"model": MODEL, "data": data or {}, "budget": {"macs_ratio": 0.5}, "seed": 3})
    images = completed(TrialSpec.model_validate({"budget": 0.5}).data)
    model = ModelSpec.model_validate({**MODEL, "args": {**MODEL["args"], "num_classes": 10}})  # type: ignore[dict-item]
    torch.manual_seed(0)
    net, split = create(model), load(images).train
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for batch in split.train_batches(EpochPlan(64, epoch), torch.device("cpu")):
            optimizer.zero_grad()
            F.cross_entropy(net(batch.image), batch.label).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    arch = make_arch(model.name, model.args, describe_backbone(net, SpaceSpec()).widths, images)
    save_network(net.eval(), arch, folder)
    return finished(folder, spec, arch, **{"class_names": NAMES, **changes})
