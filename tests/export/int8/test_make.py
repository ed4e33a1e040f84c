"""A digits network in int8: chosen on held-out training images, the test split read once and last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ofb_ray.config import DataSpec
from ofb_ray.data import Batch, load
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError
from ofb_ray.export.int8 import images, make
from ofb_ray.export.int8.make import make_int8
from ofb_ray.export.network import build, save_network
from ofb_ray.results.records import Record
from tests.export.int8.digits import digits_trial


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    folder = tmp_path_factory.mktemp("trial")
    return folder, digits_trial(folder)


def test_int8_costs_little_and_its_facts_say_so(trial: tuple[Path, Record], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, record = trial
    reads: list[tuple[str, int]] = []
    for name in ("train_batches", "test_batches"):
        true = getattr(MemorySplit, name)

        def spy(self: MemorySplit, *given: Any, true: Any = true, name: str = name) -> Any:
            reads.append((name, len(self)))
            return true(self, *given)

        monkeypatch.setattr(MemorySplit, name, spy)
    told: list[str] = []
    made = make_int8(folder, record, record.arch or {}, show=told.append)
    facts, data = made.facts, load(DataSpec.model_validate(record.spec["data"]))
    assert (facts.met, facts.float_layers, facts.layers) == (True, (), 10)
    assert facts.lost_probability <= facts.tolerance
    assert facts.top1_val_float32 - facts.top1_val <= facts.tolerance + 2 * facts.val_error
    assert facts.top1_test_float32 is not None
    assert facts.top1_test_float32 > 80
    assert facts.drop is not None
    assert abs(facts.drop) < 2
    assert facts.test_error is not None
    assert 0 <= facts.test_error < 1
    assert facts.bytes_int8 == len(made.model)
    assert facts.calibration_images + facts.selection_images == len(data.val)
    # One pass each: over held-out images to choose, over the test split for the last number.
    assert reads == [("train_batches", len(data.val)), ("test_batches", len(data.test))]
    assert told[0] == "loading held-out training images"
    assert told[-1].startswith("test split: ")


@pytest.mark.slow
def test_it_comes_out_equal_again(trial: tuple[Path, Record]) -> None:
    folder, record = trial
    assert make_int8(folder, record, record.arch or {}) == make_int8(folder, record, record.arch or {})


def test_layers_that_int8_ruins_stay_in_float(trial: tuple[Path, Record], tmp_path: Path) -> None:
    """A value channel 1000 times as large, and its use as much smaller: the same function, and no range fits it."""
    folder, record = trial
    arch = record.arch or {}
    tensors = load_file(folder / "model.safetensors")
    for block in ("blocks.0.attn", "blocks.1.attn"):
        size = tensors[f"{block}.proj.weight"].shape[1]
        tensors[f"{block}.qkv.weight"][-size] *= 1000
        tensors[f"{block}.qkv.bias"][-size] *= 1000
        tensors[f"{block}.proj.weight"][:, 0] /= 1000
    net = build(arch)
    net.load_state_dict(tensors)
    save_network(net, arch, tmp_path)
    facts = make_int8(tmp_path, record, arch).facts
    assert {layer.name for layer in facts.float_layers} <= {"blocks.0.attn.proj", "blocks.1.attn.proj"}
    assert facts.float_layers
    assert facts.met
    errors = [layer.error for layer in facts.float_layers]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1


def test_too_few_held_out_images_serve_for_both() -> None:
    class One:
        def __len__(self) -> int:
            return 1

        def train_batches(self, plan: Any, device: Any) -> Any:
            yield Batch(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.long), 0, 1, True)

    held = images.held_out(type("Data", (), {"val": One()})())
    assert [len(each) for each in held.calibration] == [1]
    assert [len(labels) for _, labels in held.selection] == [1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "memory:0123456789abcdef"}, ["data.name", "the process that trained it"]),
        ({"name": "folder", "root": "gone"}, ["data.root", "gone/train", "--data ROOT"]),
        ({"name": "nonsense"}, ["record.json", "no data set 'nonsense'"]),
    ],
)
def test_data_that_is_not_at_hand_is_one_line(
    trial: tuple[Path, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, record = trial
    spec = json.loads(json.dumps(record.spec))
    spec["data"] |= data
    with pytest.raises(InputError) as error:
        make.make_int8(folder, record.model_copy(update={"spec": spec}), record.arch or {})
    assert all(word in str(error.value) for word in words), str(error.value)
    assert len(str(error.value).splitlines()) == 1
