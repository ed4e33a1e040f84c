"""`ofb-ray init`: what it finds in a folder, in weights and in a machine, and that the file it writes runs."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from ofb_ray import cli
from ofb_ray.commands.starter import choose
from ofb_ray.commands.starter.images import Images, described, look
from ofb_ray.commands.starter.machine import GIB, Machine
from ofb_ray.commands.starter.network import choose_network
from ofb_ray.commands.starter.shapes import find_model, read_shapes
from ofb_ray.commands.starter.text import sweep_text
from ofb_ray.config import yaml12
from ofb_ray.config.load import load_sweep
from ofb_ray.results.records import read_record

TINY = ("dense.epochs=1", "search.epochs=2", "finetune.epochs=1", "chain.epochs=1", "loggers=[]")


def make(root: Path, parts: dict[str, int], classes: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Path:
    """root/<part>/<class>/*.png: so many images a class, noise of 6 x 6 patches."""
    random = np.random.default_rng(0)
    for part, count in parts.items():
        for number in range(classes):
            folder = root / part / f"class {number:03d}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).resize(size).save(folder / f"{index}.png")
    return root


FOLDERS: dict[str, dict[str, Any]] = {
    "imagenet": {"parts": {"train": 12, "val": 4}, "classes": 3, "size": (160, 120)},
    "noval": {"parts": {"train": 12}, "classes": 3, "size": (100, 80)},
    "three": {"parts": {"train": 3, "val": 1}, "classes": 4},
    "grey": {"parts": {"train": 12, "val": 4}, "classes": 10, "size": (28, 28), "mode": "L"},
    "many": {"parts": {"train": 4, "val": 1}, "classes": 200, "size": (64, 64)},
    "flat": {"parts": {"": 8}, "classes": 3, "size": (64, 48)},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> int:
    return cli.main(["init", *arguments])


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_file_for_every_kind_of_folder_passes_a_dry_run(
    kind: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(here / kind, **FOLDERS[kind])
    assert init("--data", kind, "--model", "test_vit") == 0
    said = capsys.readouterr().out
    assert f"{FOLDERS[kind]['classes']} classes of" in said
    assert "measured on this machine" in said
    assert {path.name for path in here.iterdir()} == {kind, f"{kind}.yaml"}
    assert cli.main(["sweep", f"{kind}.yaml", "--dry-run"]) == 0
    assert "missing:" not in capsys.readouterr().out
    text = (here / f"{kind}.yaml").read_text()
    assert max(map(len, text.splitlines())) <= 120
    assert "time: about" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOLDERS)
def test_the_first_trial_of_every_kind_of_folder_runs(kind: str, here: Path) -> None:
    make(here / kind, **FOLDERS[kind])
    assert init("--data", kind, "--model", "test_vit") == 0
    overrides = [part for each in TINY for part in ("--set", each)]
    assert cli.main(["trial", f"{kind}.yaml", *overrides, "--out", "trial"]) == 0
    record = read_record(here / "trial")
    assert record is not None
    assert record.class_names == [f"class {number:03d}" for number in range(FOLDERS[kind]["classes"])]


@pytest.mark.slow
def test_the_whole_sweep_of_a_folder_of_ones_own_runs(here: Path) -> None:
    make(here / "photos", {"train": 12}, 2, (28, 28))
    assert init("--data", "photos") == 0
    assert cli.main(["sweep", "photos.yaml", *(part for each in TINY for part in ("--set", each))]) == 0
    records = [read_record(path) for path in sorted((here / "results/photos").glob("0*"))]
    assert len(records) >= 3
    assert all(record is not None and record.status == "finished" for record in records)


def one_class(root: Path) -> tuple[str, ...]:
    make(root / "photos", {"train": 4, "val": 1}, 1)
    return ()


def broken(root: Path) -> tuple[str, ...]:
    for path in make(root / "photos", {"train": 4}, 2).rglob("*.png"):
        path.write_bytes(b"no image")
    return ()


def lost_class(root: Path) -> tuple[str, ...]:
    for path in (make(root / "photos", {"train": 4}, 3) / "train/class 002").iterdir():
        path.write_bytes(b"no image")
    return ()


def taken(root: Path) -> tuple[str, ...]:
    make(root / "photos", {"train": 4}, 2)
    (root / "photos.yaml").write_text("mine")
    return ()


def taken_out(root: Path) -> tuple[str, ...]:
    taken(root)
    return ("--out", "photos.yaml")


def no_folder(root: Path) -> tuple[str, ...]:
    return ("--data", str(root / "none"))


def no_model(root: Path) -> tuple[str, ...]:
    make(root / "photos", {"train": 4}, 2)
    return ("--model", "vit_tinny")


def no_weights(root: Path) -> tuple[str, ...]:
    make(root / "photos", {"train": 4}, 2)
    (root / "w.safetensors").write_bytes(b"torn")
    return ("--weights", "w.safetensors")


def other_results(root: Path) -> tuple[str, ...]:
    make(root / "photos", {"train": 4}, 2)
    (root / "results/photos").mkdir(parents=True)
    (root / "results/photos/sweep.yaml").write_text("name: photos\nbudgets: [0.5]\n")
    return ("--model", "test_vit")


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (one_class, "has one class, 'class 000', and there is nothing to tell apart"),
        (broken, "8 of 8 images cannot be read"),
        (lost_class, "no image of class 'class 002' can be read, such as "),
        (taken, "ofb-ray: photos.yaml: is there already and stays as it is: name another file by --out"),
        (taken_out, "photos.yaml: --out: is there already and stays as it is: name another file by --out"),
        (no_folder, "no such folder"),
        (no_model, "did you mean"),
        (no_weights, "holds no tensors"),
        (other_results, "--name"),
    ],
)
def test_what_does_not_serve_is_one_line_and_nothing_is_written(
    make_it: Any, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = make_it(here)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert init("--data", "photos", *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def cut(path: Path) -> None:
    """Keep the header and the first pixels of an image."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_unreadable_images_are_named_and_allowed_until_a_dry_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(here / "photos", {"train": 10, "val": 4}, 2)
    cut(here / "photos/train/class 000/3.png")
    (here / "photos/train/class 001/bad.png").write_text("hello")
    assert init("--data", "photos", "--model", "test_vit") == 0
    out = capsys.readouterr().out
    assert re.search(r"^unreadable: 2 images \(all 29 decoded\): .+/3\.png, .+/bad\.png$", out, re.MULTILINE)
    assert "\n  skipped, as the sweep sets data.unreadable to 0.191; or mend or delete them\n" in out
    assert load_sweep("photos.yaml").data.unreadable == 0.191
    assert "  unreadable: 0.191 # 2 of 29 images cannot be read" in (here / "photos.yaml").read_text()
    assert cli.main(["sweep", "photos.yaml", "--dry-run"]) == 0
    assert "they are skipped, as data.unreadable allows 4\n" in capsys.readouterr().out
    assert cli.main(["sweep", "photos.yaml", "--dry-run", "--set", "data.unreadable=0"]) == 0
    assert "warning: 2 of 21 train images cannot be read: " in capsys.readouterr().out


def test_half_of_the_images_may_be_unreadable(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index, path in enumerate(sorted(make(here / "photos", {"train": 10}, 2).rglob("*.png"))):
        if index % 2:
            cut(path)
    assert init("--data", "photos", "--model", "test_vit") == 0
    assert load_sweep("photos.yaml").data.unreadable == 0.999


def test_foreign_names_stay_in_their_comments_and_quotes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(here / '1e3 # my: "photos" 猫', {"train": 4, "val": 1}, 2)
    for part in ("train", "val"):
        (root / part / "class 000").rename(root / part / "a\n\x1b[31mbudgets: [0.1]")
    assert init("--data", root.name, "--model", "test_vit") == 0
    (file,) = here.glob("*.yaml")
    assert load_sweep(str(file)).data.root == root.name
    assert "\x1b" not in file.read_text() + capsys.readouterr().out
    assert load_sweep(str(file)).name == file.stem


def images_of(count: int, side: int = 32, classes: int = 10, test: int = 10_000) -> Images:
    each = count // classes
    names = tuple(map(str, range(classes)))
    return Images("photos", count, test, "val", names, each, each, side, side, side, False, 500, 0, (), None)


SMALL, GPUS = Machine(2, 8 * GIB, 0, ""), Machine(16, 64 * GIB, 2, "a GPU")


def test_without_a_gpu_size_images_and_epochs_keep_to_the_time(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(here / "photos", {"train": 2}, 2)
    work = 1e-9  # seconds a pixel, image and epoch

    def seconds(made: choose.Sketch) -> float:
        return work * made.size**2 * made.trained_on * sum(made.epochs)

    monkeypatch.setattr(choose, "_seconds", seconds)
    net = choose_network(None, "vit_tiny_patch16_224", 500, gpu=False)

    def chosen(**keys: Any) -> choose.Sketch:
        return choose.sketch("s", images_of(50_000, side=500, **keys), net, SMALL, lambda line: None)

    assert (chosen().size, chosen().limit) == (224, None)
    work *= 30  # enough images at this size, but not all
    assert (chosen().size, chosen().limit) == (224, 27_400)
    work *= 10  # not enough of them: the images become smaller first
    assert (made := chosen()).size == 128
    assert made.limit is not None
    assert choose.IMAGES <= made.limit < 50_000
    assert 0.9 * choose.SECONDS < seconds(made) <= choose.SECONDS
    assert made.test_limit == choose.IMAGES
    work *= 100  # the smallest, few, and then for fewer epochs
    assert (few := chosen()).size == 64
    assert few.limit == choose.IMAGES // 3
    assert sum(few.epochs) < sum(made.epochs)
    assert chosen(classes=1000).limit == 10_000


def test_a_gpu_takes_the_weights_own_size_and_all_images(here: Path) -> None:
    make(here / "photos", {"train": 2}, 2)
    net = choose_network(None, "vit_tiny_patch16_224", 32, gpu=True)
    made = choose.sketch("s", images_of(50_000), net, GPUS, lambda line: None)
    assert (made.limit, made.gpu, made.trials_at_a_time, made.cpus) == (None, 0.5, 4, 4)
    trained = choose.sketch("s", images_of(50_000), replace(net, pretrained=True), GPUS, lambda line: None)
    assert trained.size == 224
    assert trained.epochs < made.epochs


@pytest.mark.parametrize("machine", [SMALL, GPUS, Machine(1, GIB, 0, "")])
@pytest.mark.parametrize("root", ["photos", "1e3", "no", "my photos: # a", "猫/é", "null", "-", "2024"])
def test_the_text_says_what_the_sketch_says(machine: Machine, root: str) -> None:
    images = replace(images_of(30, side=28, test=0), root=root, allowed=0.2, unreadable=("a",), part="")
    net = choose_network(None, None, 28, gpu=bool(machine.gpus))
    made = choose.Sketch("s", images, net, machine, 28, 20, (1, 2, 3, 4))
    assert yaml12.load(sweep_text(made, "ofb-ray init", "s.yaml", "time"), "s.yaml")[0] == made.tree


@pytest.mark.parametrize(
    ("file", "name", "found"),
    [
        ("model", "vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ("my_deit_tiny-v2", "deit_tiny_patch16_224", "deit_tiny_patch16_224"),
        ("vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k"),
        ("model", "tnt_s_patch16_224", "tnt_s_patch16_224"),
    ],
)
def test_the_model_of_weights_is_found(file: str, name: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / f"{file}.safetensors"
    save_file(timm.create_model(name, num_classes=7).state_dict(), path)
    shapes = read_shapes(path)
    assert shapes.classes == 7
    assert find_model(shapes, str(path)).name == found


def test_weights_of_a_cut_network_fit_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "photos", {"train": 4}, 2)
    net = timm.create_model("test_vit", embed_dim=40)
    torch.save(net.state_dict(), here / "w.pth")
    assert init("--data", "photos", "--weights", "w.pth") == 2
    assert "no ViT, DeiT, Swin or TNT of timm has these shapes (width 40, 6 blocks, patches of 16 px)" in (
        capsys.readouterr().err
    )


def test_weights_choose_model_start_and_schedule(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "photos", {"train": 8, "val": 2}, 2, (28, 28))
    save_file(timm.create_model("test_vit", num_classes=5).state_dict(), here / "my.safetensors")
    assert init("--data", "photos", "--weights", "my.safetensors", "--name", "mine") == 0
    assert "weights: test_vit (from the shapes of its tensors), 5 classes" in capsys.readouterr().out
    spec = load_sweep("mine.yaml")
    assert (spec.model.name, spec.model.weights) == ("test_vit", "my.safetensors")
    assert spec.data.image_size == 96
    assert spec.search.lr == spec.search.min_lr == 1e-4
    shutil.rmtree(here / "photos")
    assert cli.main(["sweep", "mine.yaml", "--dry-run"]) == 2


def test_a_folder_is_looked_at(tmp_path: Path) -> None:
    found = look(str(make(tmp_path / "a", **FOLDERS["grey"])))
    assert (found.train, found.test, found.part, found.grey, found.side) == (120, 40, "val", True, 28)
    assert (found.fewest, found.most, found.decoded, found.opened, found.allowed) == (12, 12, 160, 0, None)
    assert described(found)[1] == "unreadable: none (all 160 decoded)"
