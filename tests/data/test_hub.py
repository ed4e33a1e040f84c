"""Sets of the Hugging Face hub, and local folders of its layout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.base import EpochPlan
from ofb_ray.errors import InputError
from tests.data.making import CPU, make_folder, one_pass


def test_the_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"data\.name: hfds/beans needs the `datasets` package: pip install datasets"):
        facts(DataSpec(name="hfds/beans"))


def test_a_local_folder_of_the_hubs_layout_is_read(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    root = make_folder(tmp_path / "set", held="test")
    for decode in ("auto", "stream"):
        spec = DataSpec.model_validate(
            {"name": f"hfds/{root}", "root": str(tmp_path / "hub"), "image_size": 16, "decode": decode, "workers": 1}
        )
        assert facts(spec).classes == 2
        data = load(spec)
        assert (len(data.train) + len(data.val), len(data.test)) == (20, 6)
        assert one_pass(data.train, EpochPlan(8, 0))[0].image.shape == (8, 3, 16, 16)
        assert torch.cat([label for _, label in data.test.test_batches(8, CPU)]).tolist() == [0] * 3 + [1] * 3
