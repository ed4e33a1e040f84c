"""Data sets that a function returns: what fits is trained on as any other set, what does not is one clear line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils.data import Subset

from ofb_ray import data
from ofb_ray.cli import main
from ofb_ray.config import DataSpec
from ofb_ray.data import mapstyle
from ofb_ray.data.base import EpochPlan
from ofb_ray.data.items import labels_of
from ofb_ray.errors import InputError
from ofb_ray.results.records import read_record
from ofb_ray.trial import run_trial
from tests.data import toy
from tests.data.making import CPU, one_pass, pixels
from tests.small import small_spec

PLAN = EpochPlan(batch_size=32, seed=5)


def spec_of(function: str, **keys: Any) -> DataSpec:
    return DataSpec.model_validate({"name": f"tests.data.toy:{function}", "image_size": 8, "workers": 0, **keys})


@pytest.mark.parametrize(("function", "channels"), [("grey", 1), ("colour", 3), ("tensors", 1), ("pixels", 1)])
def test_splits_have_the_channels_and_images_of_the_datasets(function: str, channels: int) -> None:
    spec = spec_of(function)
    assert data.facts(spec) == data.Facts(120, 4, channels)
    made = data.load(data.completed(spec))
    assert len(made.train) + len(made.val) == 120
    assert len(made.test) == 60
    images, labels = next(iter(made.test.test_batches(60, CPU)))
    assert images.shape == (60, channels, 8, 8)
    assert labels.tolist() == toy.Toy(60, first=120).targets


def test_pictures_are_normalised_and_tensors_are_taken_as_they_are() -> None:
    theirs = torch.stack([toy.as_tensor(toy.Toy(60, first=120)[index][0]) for index in range(60)])
    for function, wanted in (("tensors", theirs), ("grey", (theirs - 0.5) / 0.5), ("pixels", (theirs - 0.5) / 0.5)):
        made = data.load(data.completed(spec_of(function)))
        images, _ = next(iter(made.test.test_batches(60, CPU)))
        assert torch.allclose(images, wanted, atol=1e-6)


@pytest.mark.parametrize(("function", "channels"), [("grey", 3), ("colour", 1), ("mixed", 3), ("mismatched", 1)])
def test_channels_converts_pictures(function: str, channels: int) -> None:
    made = data.load(data.completed(spec_of(function, channels=channels)))
    assert made.channels == channels
    assert one_pass(made.train, PLAN)[0].image.shape[1] == channels


def test_a_dataset_for_selection_takes_the_place_of_the_held_out_part() -> None:
    made = data.load(data.completed(spec_of("colour", args={"val": True})))
    assert [len(part) for part in (made.train, made.val, made.test)] == [120, 40, 60]


def test_arguments_reach_the_function_and_belong_to_the_trials_identity() -> None:
    assert data.facts(spec_of("grey", args={"size": 90})).train_images == 90
    keys = {
        small_spec(data={"name": "tests.data.toy:grey", "args": args, "image_size": 8}).key
        for args in (None, {"size": 90}, {"size": 100})
    }
    assert len(keys) == 3


def test_a_transform_that_draws_gives_a_pass_that_follows_from_its_seed() -> None:
    made = data.load(spec_of("tensors", args={"draw": True}))
    one, again, other = (
        pixels(one_pass(made.train, EpochPlan(batch_size=32, seed=seed, micro_batch=size)))
        for seed, size in ((5, 32), (5, 7), (6, 32))
    )
    assert torch.equal(one, again)
    assert not torch.equal(one.flatten(1).sort(0).values, other.flatten(1).sort(0).values)


def test_labels_are_read_where_the_dataset_keeps_them_or_item_by_item() -> None:
    whole = toy.Toy(30)
    asked: list[int] = []

    class Counting(toy.Toy):
        def __getitem__(self, index: int) -> tuple[Any, int]:
            asked.append(index)
            return super().__getitem__(index)

    assert labels_of(Counting(30), "train").tolist() == whole.targets
    assert len(asked) < 30
    assert labels_of(Subset(whole, [3, 1, 4]), "train").tolist() == [whole.targets[index] for index in (3, 1, 4)]
    relabelled = [(whole[index][0], 3 - whole[index][1]) for index in range(30)]
    assert labels_of(relabelled, "train").tolist() == [3 - label for label in whole.targets]


def test_labels_that_a_dataset_keeps_but_does_not_give_are_not_believed() -> None:
    class Shifted(toy.Toy):
        def __getitem__(self, index: int) -> tuple[Any, int]:
            picture, label = super().__getitem__(index)
            return picture, (label + 1) % 4

    shifted = Shifted(40)
    assert labels_of(shifted, "train").tolist() == [(label + 1) % 4 for label in shifted.targets]


@pytest.mark.parametrize("label", ["3", 3.5, None, [0, 1], torch.zeros(4)])
def test_only_whole_numbers_are_labels(label: Any) -> None:
    with pytest.raises(InputError, match="not a whole number"):
        labels_of([(toy.Toy()[0][0], label)], "train")
    for same in (3, 3.0, torch.tensor(3), np.int64(3)):
        assert labels_of([(toy.Toy()[0][0], same)], "train").tolist() == [3]


def test_datasets_in_memory_are_named_by_what_they_hold() -> None:
    first, same, other = (mapstyle.remember(toy.Toy(size)) for size in (100, 100, 101))
    assert first == same != other
    spec = DataSpec(name=first, image_size=8)
    assert data.facts(spec).train_images == 100
    assert len(data.load(data.completed(spec)).test) == 0
    with pytest.raises(InputError, match="memory of another process"):
        data.facts(DataSpec(name="memory:0123456789abcdef"))


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("nowhere.to.be:found", "data.name", "no module 'nowhere'"),
        ("tests.data.toi:grey", "data.name", "no module 'tests.data.toi'"),
        ("tests.data.toy:gray", "data.name", "did you mean 'grey'"),
        ("tests.data.toy:CONSTANT", "data.name", "is of type int, no function"),
        ("tests.data.toy:one", "data.name", "returned one Toy: it must return (train, test)"),
        ("tests.data.toy:stream", "data.name", "train set is a stream"),
        ("tests.data.toy:empty", "data.name", "train set is empty"),
        ("tests.data.toy:failing", "data.name", "RuntimeError: the disk is gone (toy.py line"),
        (
            "tests.data.toy:triples",
            "data.name",
            "item 0 of its train set is a tuple of 3 (Image, int, str), not (image",
        ),
        ("tests.data.toy:worded", "data.name", "the label of item 0 of its train set is 'cat', not a whole number"),
        ("tests.data.toy:negative", "data.name", "the label of item 0 of its train set is -1"),
        ("tests.data.toy:gap", "data.name", "no image of its train set has 1, 3"),
        ("tests.data.toy:arrays", "data.name", "a float64 array of shape (8, 8): give PIL images"),
        ("tests.data.toy:mixed", "data.name", "gives pictures of 1 channel and, at 29, pictures of 3 channels"),
        (
            "tests.data.toy:mismatched",
            "data.name",
            "its test set gives pictures of 1 channel, its train set pictures of 3",
        ),
        ("tests.data.toy:changing", "data.name", "image 0 of its train set changes each time"),
    ],
)
def test_what_does_not_fit_is_one_line(name: str, key: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        data.facts(DataSpec(name=name, image_size=8))
    assert caught.value.key == key
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ({"args": {"sice": 3}}, "data.args", "unexpected keyword argument 'sice'"),
        ({"classes": 3}, "data.classes", "there is a label 3"),
        ({"train_images": 7}, "data.train_images", "the data set has 120"),
    ],
)
def test_keys_that_contradict_the_datasets_are_told(keys: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        data.facts(spec_of("grey", **keys))
    assert caught.value.key == key
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("keys", "key"), [({"image_size": 16}, "data.image_size"), ({"augment": "crop_flip"}, "data.augment")]
)
def test_tensors_are_neither_resized_nor_augmented(keys: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as caught:
        data.facts(spec_of("tensors", **keys))
    assert caught.value.key == key


@pytest.mark.parametrize(
    "fields", [{"name": "a.b:"}, {"name": "digits", "args": {}}, {"name": "digits", "channels": 1}]
)
def test_a_spec_that_means_no_function_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataSpec.model_validate(fields)


def test_a_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_only_here.py").write_text("import tests.data.toy\nsets = tests.data.toy.grey\n")
    (tmp_path / "broken_only_here.py").write_text("import os\nimport nowhere_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert data.facts(DataSpec(name="mine_only_here:sets", image_size=8)).classes == 4
    with pytest.raises(InputError, match=r"cannot be imported: ModuleNotFoundError.*\(broken_only_here.py line 2\)"):
        data.facts(DataSpec(name="broken_only_here:sets"))


def test_a_module_beside_the_sweep_file_is_found_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "beside_the_sweep.py").write_text("import tests.data.toy\nsets = tests.data.toy.grey\n")
    tree = small_spec(
        data={"name": "beside_the_sweep:sets", "args": {"size": 90}, "image_size": 8, "train_limit": None},
        **{phase: {"epochs": 1} for phase in ("dense", "search", "finetune")},
    ).model_dump(mode="json", exclude={"budget", "seed"})
    (tmp_path / "s.yaml").write_text(json.dumps({**tree, "name": "s", "budgets": [0.5]}))
    assert main(["trial", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "trial")]) == 0
    record = read_record(tmp_path / "trial")
    assert record is not None
    assert record.environment["train_images"] + record.environment["val_images"] == 90
    capsys.readouterr()
    wrong = ["--set", "data.name=beside_the_sweep:set", "--out", str(tmp_path / "wrong")]
    assert main(["trial", str(tmp_path / "s.yaml"), *wrong]) == 2
    line = "--set: data.name: module beside_the_sweep has no 'set'; did you mean 'sets'?"
    assert capsys.readouterr().err == f"ofb-ray: {line}\n"
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("function", ["grey", "tensors"])
def test_a_trial_runs_on_a_function_as_on_any_set(function: str, tmp_path: Path) -> None:
    spec = small_spec(
        data={"name": f"tests.data.toy:{function}", "image_size": 8, "train_limit": None},
        dense={"epochs": 1},
        search={"epochs": 1},
        finetune={"epochs": 1},
    )
    record = run_trial(spec, lambda _: None, tmp_path / "trial", shared=tmp_path)
    assert record.status == "finished"
    assert record.subnet is not None
    assert record.subnet.top1_test is not None
    assert record.arch is not None
    assert record.arch["model"]["args"]["num_classes"] == 4
    assert record.environment["test_images"] == 60
