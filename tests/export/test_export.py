"""The export folder: equal outputs everywhere, the Hub's layout, nothing half-written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import ModelCard, ModelCardData
from timm.data import resolve_model_data_config
from torch import nn
from torch.nn import functional as F

import ofb_ray
from ofb_ray.backbones import describe_backbone
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.export import export_trial, loader, program
from ofb_ray.export.network import load_exported
from ofb_ray.results.files import ARCH_FILE, LATENCY_FILE, WEIGHTS_FILE
from ofb_ray.results.records import Network, read_record
from ofb_ray.search.pruning import prune
from tests.export.trials import subnet, write_trial
from tests.nets import NETS, gone_space, images, network, optimizer_of, supernet

FILES = {"README.md", "arch.json", "config.json", "model.safetensors", "record.json"}
# Two families by default, the rest by `make test-all`: a graph takes seconds.
graphs = pytest.mark.parametrize(
    "kind", [kind if kind == "plain" else pytest.param(kind, marks=pytest.mark.slow) for kind in NETS]
)


@pytest.fixture(scope="module")
def nets() -> dict[str, nn.Module]:
    return {}


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, nets: dict[str, nn.Module]) -> Path:
    """A folder with a trial of every kind, under its name; `nets` has the networks."""
    root = tmp_path_factory.mktemp("trials")
    for kind in NETS:
        nets[kind], widths = subnet(kind)
        write_trial(root / kind, kind, nets[kind], widths)
    return root


def logits(net: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return net(images())  # type: ignore[no-any-return]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_cards_loader_needs_no_ofb_ray_and_gives_equal_outputs(
    trials: Path, nets: dict[str, nn.Module], tmp_path: Path
) -> None:
    for kind in NETS:
        export_trial(trials / kind, tmp_path / kind)
        assert names(tmp_path / kind) == FILES
    source, _ = re.findall(r"```python\n(.*?)```", (tmp_path / "swin" / "README.md").read_text(), re.DOTALL)
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 21
    torch.save(images(), tmp_path / "images.pt")
    script = f"""import sys
sys.modules["ofb_ray"] = None
{source}
images = torch.load("images.pt")
torch.save({{kind: load(kind)(images).detach() for kind in {list(NETS)}}}, "logits.pt")
"""
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    found = torch.load(tmp_path / "logits.pt")
    for kind, net in nets.items():
        assert torch.equal(found[kind], logits(net)), kind
        assert torch.equal(logits(ofb_ray.load(tmp_path / kind)), logits(net)), kind


@graphs
def test_onnx_and_program_compute_what_the_network_computes(trials: Path, tmp_path: Path, kind: str) -> None:
    differences = export_trial(trials / kind, tmp_path / "to", onnx=True, exported_program=True)
    assert names(tmp_path / "to") == {*FILES, "model.onnx", "model.pt2"}
    assert set(differences) == {"model.onnx", "model.pt2"}
    assert max(differences.values()) <= 1e-4
    card = (tmp_path / "to" / "README.md").read_text()
    assert "opset 20" in card
    assert f"within {differences['model.onnx']:.1e}" in card


@pytest.mark.parametrize(
    "kind", ["plain", *(pytest.param(kind, marks=pytest.mark.slow) for kind in NETS if kind != "plain")]
)
def test_a_subnet_that_lost_parts_is_exported_like_any_other(kind: str, tmp_path: Path) -> None:
    net = supernet(kind, gone_space(kind))
    alive = {name: torch.zeros_like(mask.alive_IJ) for name, mask in net.undecided.items()}
    for place, flags_IJ in enumerate(alive.values()):
        flags_IJ[(0, 0) if place % 3 else (-1, -1)] = True
    small = prune(net, optimizer_of(net), alive, 0.3).net
    fused, widths = small.fuse().eval(), small.backbone.widths
    assert any(not width.units for width in widths.values())
    write_trial(tmp_path / "trial", kind, fused, widths)
    differences = export_trial(tmp_path / "trial", tmp_path / "to", onnx=True, exported_program=True)
    assert max(differences.values()) <= 1e-4
    assert torch.equal(logits(ofb_ray.load(tmp_path / "to")), logits(fused))
    assert torch.equal(logits(loader.load(tmp_path / "to")), logits(fused))
    assert " gone |" in (tmp_path / "to" / "README.md").read_text()


def test_what_computes_something_else_is_an_error_and_leaves_nothing(
    trials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = program.export_program
    monkeypatch.setattr(program, "export_program", lambda net, size: true(nn.Sequential(net, nn.Softmax(1)), size))
    with pytest.raises(program.ExportFailed, match=r"model\.pt2 differs"):
        export_trial(trials / "plain", tmp_path / "new" / "to", exported_program=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda x: torch.full((len(x), 7), torch.nan), "by inf"),
        (lambda x: torch.zeros(len(x), 8), "by inf"),
        (lambda x: x[:, 0, 0, :7] + 1e-3 if len(x) == 3 else x[:, 0, 0, :7], "by 0.001"),
    ],
    ids=["nan", "another shape", "only at a batch of three"],
)
def test_a_difference_is_found(other: Any, message: str) -> None:
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0, 0, :7]

    assert program.check_equal(Corner(), Corner(), (3, 8, 8), "itself") == 0
    with pytest.raises(program.ExportFailed, match=message):
        program.check_equal(Corner(), other, (3, 8, 8), "it")


def test_an_export_is_refused_where_it_would_replace_something(trials: Path, tmp_path: Path) -> None:
    export_trial(trials / "plain", tmp_path / "to")
    before = {path: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    with pytest.raises(InputError, match="already holds a subnet"):
        export_trial(trials / "swin", tmp_path / "to")
    with pytest.raises(InputError, match="already holds a subnet"):
        export_trial(trials / "plain", trials / "plain")
    assert {path: path.read_bytes() for path in (tmp_path / "to").iterdir()} == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    with pytest.raises(InputError, match="holds files"):
        export_trial(trials / "plain", tmp_path / "notes")
    assert names(tmp_path) == {"to", "notes"}


@pytest.mark.parametrize("name", [WEIGHTS_FILE, ARCH_FILE, LATENCY_FILE])
def test_a_torn_file_is_named_and_nothing_is_left(name: str, trials: Path, tmp_path: Path) -> None:
    shutil.copytree(trials / "plain", tmp_path / "trial")
    (tmp_path / "trial" / name).write_text('{"torn')
    with pytest.raises(InputError, match=r"cannot be read .*: copy the trial again"):
        export_trial(tmp_path / "trial", tmp_path / "to")
    assert names(tmp_path) == {"trial"}


def test_an_export_below_a_file_is_refused(trials: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="--to: cannot write there"):
        export_trial(trials / "plain", tmp_path / "file" / "to")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_goes_into_the_clone_of_an_empty_repository(trials: Path, tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text("*.safetensors filter=lfs")
    export_trial(trials / "plain", tmp_path)
    assert names(tmp_path) == {*FILES, ".gitattributes"}
    assert names(tmp_path.parent).isdisjoint({f".{tmp_path.name}"})


def test_an_exported_network_can_be_trained_further(trials: Path, tmp_path: Path) -> None:
    export_trial(trials / "deit3", tmp_path / "to")
    net = ofb_ray.load(tmp_path / "to").train()
    config = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    assert (config["input_size"], config["mean"], config["crop_pct"]) == ((3, 32, 32), (0.4, 0.5, 0.6), 0.9)
    assert config["interpolation"] == "bilinear"
    optimizer, labels = torch.optim.SGD(net.parameters(), lr=1e-3), torch.tensor([0, 1, 2, 3])
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        losses.append(F.cross_entropy(net(images()), labels))
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[1] < losses[0]
    assert all(param.grad is not None for param in net.parameters())


def test_an_arch_of_an_older_version_loads(trials: Path, nets: dict[str, nn.Module], tmp_path: Path) -> None:
    export_trial(trials / "swin", tmp_path / "to")
    path = tmp_path / "to" / "arch.json"
    arch = json.loads(path.read_text())
    del arch["attributes"], arch["input"]
    path.write_text(json.dumps(arch))
    assert torch.equal(logits(load_exported(tmp_path / "to")), logits(nets["swin"]))


def test_timm_reads_the_configuration_and_refuses_a_cut_network_aloud(trials: Path, tmp_path: Path) -> None:
    net = network("plain")
    write_trial(tmp_path / "trial", "plain", net, describe_backbone(net, SpaceSpec()).widths)
    export_trial(tmp_path / "trial", tmp_path / "full")
    again = timm.create_model(f"local-dir:{tmp_path / 'full'}", pretrained=True).eval()
    assert torch.equal(logits(again), logits(net))
    assert vars(again)["pretrained_cfg"]["std"] == [0.2, 0.3, 0.2]
    export_trial(trials / "plain", tmp_path / "cut")
    with pytest.raises(RuntimeError, match="size mismatch"):
        timm.create_model(f"local-dir:{tmp_path / 'cut'}", pretrained=True)


def test_the_card_states_the_records_facts_in_the_hubs_format(trials: Path, tmp_path: Path) -> None:
    export_trial(trials / "tnt", tmp_path / "to")
    card = ModelCard.load(tmp_path / "to" / "README.md")
    data: ModelCardData = card.data
    assert (data.library_name, data.pipeline_tag, data.license) == ("timm", "image-classification", None)
    (result,) = data.eval_results or []
    assert (result.metric_value, result.dataset_name, result.dataset_split) == (89.25, "digits", "test")
    for fact in ("49.9 % of its MACs", "89.25", "99.80 % are used", "Seed: 3", "1,500 train", "torch 2.14.1"):
        assert fact in card.text, fact
    assert "| `blocks.0` |" in card.text
    assert "one seed (3)" in card.text
    assert read_record(tmp_path / "to") == read_record(trials / "tnt")


def test_the_card_has_no_number_that_nobody_measured(tmp_path: Path, nets: dict[str, nn.Module]) -> None:
    net, widths = subnet("plain")
    spec = {"root": "/home/somebody/flowers", "name": "folder"}
    record = write_trial(tmp_path / "a", "plain", net, widths)
    changed = {**record.spec, "data": {**record.spec["data"], **spec}}
    unknown = Network(macs=499_000, params=9_000, top1_val=90.5)
    write_trial(tmp_path / "b", "plain", net, widths, spec=changed, subnet=unknown)
    export_trial(tmp_path / "b", tmp_path / "to")
    card = ModelCard.load(tmp_path / "to" / "README.md")
    assert card.data.eval_results is None
    assert "| **subnet** |  |  | 90.50 |  | 499,000 | 9,000 |" in card.text
    assert "flowers" in card.text
    assert "somebody" not in card.text
