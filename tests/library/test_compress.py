"""A network and datasets in, a smaller network out; what is wrong with them is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ofb_ray
from ofb_ray.errors import InputError
from ofb_ray.library.result import Compressed
from ofb_ray.results.records import read_record
from ofb_ray.train import checkpoint
from tests.data.toy import Stream, Toy, as_tensor
from tests.library.nets import tiny

SHORT: dict[str, Any] = {"epochs": 2, "quiet": True, "search__batch_size": 32, "finetune__batch_size": 32}


def short(net: torch.nn.Module, *sets: Any, **keys: Any) -> Compressed:
    return ofb_ray.compress(net, *sets, **{**SHORT, **keys})


def images(channels: int = 1) -> Tensor:
    return torch.randn(3, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def test_a_network_is_compressed_on_an_unknown_dataset_saved_and_loaded(tmp_path: Path) -> None:
    net = tiny()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = short(net, Toy(), Toy(60, first=120), budget=0.4)
    assert result.macs <= 0.4 * result.dense.macs
    assert result.record.status == "finished"
    assert result.top1_val is not None
    assert result.subnet.top1_test is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    saved = result.save(tmp_path / "export")
    assert torch.equal(ofb_ray.load(saved)(images()), result.net(images()))
    assert "on a test split nothing is known" in (saved / "README.md").read_text()


def test_widths_are_those_of_the_network() -> None:
    result = short(tiny(), Toy(), budget=0.7, search__space__keep=["embed", "blocks.0.*"])
    blocks: Any = result.net.blocks
    assert blocks[1].mlp.fc1.out_features == result.widths["blocks.1.mlp"].width
    assert blocks[0].mlp.fc1.out_features == 128
    assert result.widths["embed"].width == 32


def test_the_dense_network_is_taken_as_it_is() -> None:
    net, val = tiny(), Toy(60, first=120)
    result = short(net, Toy(), val, epochs=0)
    seen = torch.stack([(as_tensor(val[place][0]) - 0.5) / 0.5 for place in range(60)])
    right = (net.eval()(seen).argmax(1) == torch.tensor(val.targets)).float().mean()
    assert result.dense.top1_val == pytest.approx(100 * float(right), abs=1e-3)
    assert result.record.history == []


def test_a_test_set_is_read_once_and_grey_pictures_become_what_the_network_takes() -> None:
    result = short(tiny(channels=3), Toy(), None, Toy(60, first=120), epochs=1)
    assert result.subnet.top1_test is not None
    assert result.record.environment["test_images"] == 60
    assert result.net(images(3)).shape == (3, 4)


def test_prepared_tensors_and_named_sets_are_compressed_as_well() -> None:
    one = short(tiny(), Toy(transform=as_tensor), epochs=1)
    assert one.record.arch is not None
    two = short(tiny(classes=10), "digits", epochs=1, data={"train_limit": 200})
    assert two.subnet.top1_test is not None


def test_a_killed_call_goes_on_and_ends_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = short(tiny(), Toy(), out=tmp_path / "whole")
    save = checkpoint.save
    saved: list[Path] = []

    def dying(path: Path, state: Any) -> None:
        save(path, state)
        saved.append(path)
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        short(tiny(), Toy(), out=tmp_path / "killed")
    monkeypatch.setattr(checkpoint, "save", save)
    assert read_record(tmp_path / "killed") is None
    resumed = short(tiny(), Toy(), out=tmp_path / "killed")
    assert torch.equal(resumed.net(images()), whole.net(images()))
    assert [row["loss"] for row in resumed.record.history] == [row["loss"] for row in whole.record.history]


def test_a_finished_call_is_read_and_another_one_is_refused(tmp_path: Path) -> None:
    first = short(tiny(), Toy(), out=tmp_path, epochs=1)
    again = short(tiny(), Toy(), out=tmp_path, epochs=1)
    assert again.record == first.record
    for net, data, keys in ((tiny(), Toy(119), {}), (tiny(), Toy(), {"seed": 1}), (tiny(drop_rate=0.5), Toy(), {})):
        with pytest.raises(InputError, match="holds the result of another call") as caught:
            short(net, data, out=tmp_path, epochs=1, **keys)
        assert caught.value.key == "out"


def test_the_callers_random_numbers_are_left_alone() -> None:
    net = tiny()
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    short(net, Toy(), epochs=0)
    assert torch.equal(torch.rand(1), wanted)


def test_results_are_told_in_a_line_and_a_table() -> None:
    result = short(tiny(), Toy(), epochs=0)
    assert repr(result).startswith("Compressed(vit_tiny_patch16_224: ")
    assert "\n" not in repr(result)
    assert result._repr_markdown_().splitlines()[3].startswith("| compressed | ")


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ({"serach": {"epochs": 1}}, "serach", "did you mean 'search'"),
        ({"search": {"epoch": 1}}, "search.epoch", "did you mean 'epochs'"),
        ({"search__space__kep": ["embed"]}, "search.space.kep", "did you mean 'keep'"),
        ({"search": {"space": {"keep": ["bloks"]}}}, "search.space.keep", "nearest are blocks"),
        ({"epochs": -1}, "search.epochs", "greater than or equal to 0, not -1"),
        ({"budget": 0.001}, "budget", "below the smallest reachable subnet"),
        ({"budget": "half"}, "budget", "a valid dictionary"),
        ({"data": {"image_size": 16}}, "model.args.img_size", "is 8, but"),
        ({"model": {"name": "vit_tiny_patch16_225"}}, "model.name", "timm has no model 'vit_tiny_patch16_225'"),
        ({"model": {"name": "swin_tiny_patch4_window7_224"}}, "model.name", "is a SwinTransformer"),
    ],
)
def test_keys_that_do_not_fit_are_one_line(keys: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        short(tiny(), Toy(), **keys)
    assert caught.value.key == key
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("net", "sets", "message"),
    [
        (tiny(classes=1000), (Toy(),), "1000 outputs, the data 4 classes"),
        (tiny(channels=4), (Toy(),), "data set"),
        (tiny(), (Stream(),), "a map-style dataset is needed"),
        (tiny(), (Toy(), Toy(transform=as_tensor)), "its val set gives float tensors"),
        (tiny(), ("digits", Toy()), "brings its own parts"),
        (tiny(), ("diggits",), "no data set 'diggits'"),
        (torch.nn.Linear(3, 4), (Toy(),), "no backbone family for Linear"),
    ],
)
def test_networks_and_data_that_do_not_fit_are_one_line(net: torch.nn.Module, sets: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        short(net, *sets)
    assert "\n" not in str(caught.value)


def test_a_network_that_was_changed_or_cut_is_no_timm_model_any_more() -> None:
    changed: Any = tiny()
    changed.head = torch.nn.Sequential(torch.nn.Linear(32, 8), torch.nn.Linear(8, 4))
    cut = short(tiny(), Toy(), epochs=0).net
    for net in (changed, cut):
        with pytest.raises(InputError, match="another network"):
            short(net, Toy())
