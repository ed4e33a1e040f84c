"""The paper's tables: published beside ours, empty where nobody measured, by what the records' specs say."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.paper.layout import as_csv, latex
from analysis.paper.published import published
from analysis.tables import BUILDERS, main, tables
from analysis.trials.read import read
from ofb_ray.results.records import Network, Record
from tests.analysis import factory

PUBLISHED_TABLES = ("main", "swin", "search-cost", "transfer")


def trial(number: int, top1: float, search: dict[str, Any] | None = None, **changes: Any) -> Record:
    """A finished trial of the full method on digits, but for `search`; test is 0.3 below `top1`."""
    full: dict[str, Any] = {"mask": "both", "entropy": True, "variance": True, "pmim": {"mode": "progressive"}}
    spec = {
        "model": changes.pop("model", {"name": "vit_tiny_patch16_224", "args": {"depth": 4, "num_classes": 10}}),
        "data": changes.pop("data", {"name": "digits", "image_size": 8}),
        "search": {**full, **(search or {})},
    }
    return factory.record(number, top1=top1, spec=spec, params_explored={}, **changes)


def write(folder: Path, trials: list[Record], name: str = "digits") -> Path:
    """A results folder as a sweep with a grid over the search leaves it."""
    factory.write(folder, trials, name)
    for each in trials:
        search = each.spec.get("search", {})
        cell = {f"search.{key}": value for key, value in search.items() if key != "pmim"}
        cell |= {"search.pmim.mode": search.get("pmim", {}).get("mode")}
        factory.write_trial_file(folder, each, cell=cell)
    return folder


def imagenet(number: int, name: str, gmacs: float, top1: float, seed: int) -> Record:
    """A trial on ImageNet-1k with a target in GMACs, which its subnet meets."""
    record = trial(
        number,
        top1,
        model={"name": name, "pretrained": True},
        data={"name": "folder", "root": "/data/imagenet", "train_images": 1281167},
        seed=seed,
    )
    target = int(gmacs * 1e9)
    subnet = Network(macs=target, params=5_000_000, top1_val=top1, top1_test=top1 - 0.3)
    budget = record.budget.model_copy(update={"label": f"{gmacs} GMACs", "target": target})
    return record.model_copy(update={"subnet": subnet, "budget": budget})


def cells(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a table, by the heads of its CSV."""
    (table,) = tables(read([folder]), name)
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def ablation(tmp_path: Path) -> Path:
    """Three seeds with the whole mask and three with importance alone, which is 1, 2 and 3 points worse."""
    whole = [trial(seed, 96.0 + seed, seed=seed) for seed in range(3)]
    half = [trial(3 + seed, 95.0, {"mask": "importance"}, seed=seed) for seed in range(3)]
    return write(tmp_path / "r", whole + half)


@pytest.mark.parametrize("name", BUILDERS)
def test_an_empty_folder_shows_the_published_rows_and_no_number_of_ours(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    rows = cells(tmp_path / "empty", name)
    assert rows
    assert all(row["seeds"] == "" for row in rows)
    assert main([str(tmp_path / "empty"), "--table", name, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"table-{name}.{kind}" for kind in ("csv", "md", "tex")
    ]
    assert ("[1] " in out) == (name in PUBLISHED_TABLES)


@pytest.mark.parametrize(("failed", "said"), [(False, "there is no trial yet"), (True, "nothing is measured yet")])
def test_without_a_row_the_tables_are_named(
    failed: bool, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "r", [factory.failed(0), factory.failed(1)] if failed else [])
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert all(name in out for name in BUILDERS)
    assert not (folder / "analysis").exists()


def test_every_published_row_of_ofb_is_in_its_table_with_its_source(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [])
    for name, table in (("main", "ofb_main_deit"), ("swin", "ofb_main_swin")):
        rows = {row["network"]: row for row in cells(folder, name)}
        for known in (row for row in published() if row.table == table):
            row = rows[known.method]
            assert float(row["published_top1"]) == known.top1
            assert float(row["published_macs"]) == known.macs
            assert row["source"].startswith("HankYe/Once-for-Both@")


def test_ours_stands_in_the_published_row_of_its_target(tmp_path: Path) -> None:
    found = [imagenet(seed, "deit_small_patch16_224.fb_in1k", 0.9, 74.0 + seed, seed) for seed in (0, 2)]
    found.append(imagenet(1, "deit_small_patch16_224.fb_in1k", 2.0, 79.0, 0))
    rows = {row["network"]: row for row in cells(write(tmp_path / "r", found), "main")}
    assert rows["OFB-DeiT-A"]["seeds"] == "2"
    assert float(rows["OFB-DeiT-A"]["top1_test"]) == pytest.approx(74.7)
    assert float(rows["OFB-DeiT-A"]["top1_test_deviation"]) == pytest.approx(2**0.5)
    assert all(rows[f"OFB-DeiT-{letter}"]["seeds"] == "" for letter in "BCDE")
    assert rows["digits at 2.0 GMACs"]["published_top1"] == ""
    assert [name for name in rows if name.startswith("digits at")] == ["digits at 2.0 GMACs"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_suggested_trials_the_selected_one_is_the_row(seeds: int, tmp_path: Path) -> None:
    """Held-out top-1 chooses, whatever the order of the trials; the best on the test split has no row of its own."""
    found = [
        trial(3 * seed + number, top1, seed=seed).model_copy(update={"params_explored": {"search.lr": number / 10}})
        for seed in range(seeds)
        for number, top1 in enumerate((95.0, 97.0, 96.0))
    ]
    rows = [row for row in cells(factory.write(tmp_path / "r", found), "main") if row["top1_test"]]
    assert [(row["network"], row["seeds"]) for row in rows[1:]] == [("digits at 0.5", str(seeds))]
    assert float(rows[1]["top1_test"]) == pytest.approx(96.7)


def test_a_published_row_has_the_selected_of_suggested_trials(tmp_path: Path) -> None:
    found = [
        imagenet(number, "deit_small_patch16_224", 0.9, top1, 0).model_copy(
            update={"params_explored": {"search.lr": number / 10}}
        )
        for number, top1 in enumerate((74.0, 75.0, 73.0))
    ]
    rows = [row for row in cells(factory.write(tmp_path / "r", found), "main") if row["top1_test"]]
    assert [row["network"] for row in rows] == ["OFB-DeiT-A"]
    assert float(rows[0]["top1_test"]) == pytest.approx(74.7)


def test_nothing_else_stands_in_a_published_row(tmp_path: Path) -> None:
    found = [
        imagenet(0, "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 0.9, 75.0, 0),
        imagenet(1, "deit_small_distilled_patch16_224.fb_in1k", 1.1, 77.0, 0),
    ]
    other = imagenet(2, "deit_small_patch16_224.fb_in1k", 1.7, 99.0, 0)
    data = {"name": "folder", "root": "/data/flowers", "train_images": 1020}
    found.append(other.model_copy(update={"spec": {**other.spec, "data": data, "model": {"name": "deit_small"}}}))
    rows = cells(write(tmp_path / "r", found), "main")
    assert [row["network"] for row in rows if row["network"].startswith("OFB") and row["seeds"]] == []
    assert sum("GMACs" in row["network"] for row in rows) == 3


def test_imagenet_is_known_by_its_images_where_nobody_declared_them(tmp_path: Path) -> None:
    made = imagenet(0, "deit_small_patch16_224.fb_in1k", 0.9, 75.0, 0)
    spec = {**made.spec, "data": {"name": "folder", "root": "/data/in1k"}}
    there = {"train_images": 1_153_050, "val_images": 128_117}
    folder = write(tmp_path / "r", [made.model_copy(update={"spec": spec, "environment": there})])
    assert {row["network"]: row["seeds"] for row in cells(folder, "main")}["OFB-DeiT-A"] == "1"


def test_gpu_days_are_the_searchs_alone(tmp_path: Path) -> None:
    gpu = {"dense": 9e9, "search": 43_200.0, "finetune": 9e9}
    *_, row = cells(write(tmp_path / "r", [trial(0, 97.0, gpu_seconds=gpu)]), "search-cost")
    assert (float(row["gpu_days"]), float(row["search_seconds"])) == (0.5, 12.5)


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [
        ({"name": "vit_tiny_patch16_224"}, {"name": "digits"}, "main"),
        ({"name": "swin_tiny_patch4_window7_224"}, {"name": "digits"}, "swin"),
        ({"name": "vit_tiny_patch16_224", "pretrained": True}, {"name": "cifar10"}, "transfer"),
        ({"name": "swin_tiny", "weights": "a.safetensors"}, {"name": "folder", "root": "/data/cifar10"}, "transfer"),
    ],
)
def test_a_spec_decides_the_table(model: dict[str, Any], data: dict[str, Any], name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [trial(0, 97.0, model=model, data=data)])
    assert [table.name for table in tables(read([folder]))] == sorted({name, "search-cost"}, key=list(BUILDERS).index)
    if name == "transfer":
        order = [row["data"] for row in cells(folder, name)]
        assert order.index("CIFAR-10") < order.index("iNat-19")
        assert [row["network"] for row in cells(folder, name) if row["data"] == "CIFAR-10"][-1] == "digits at 0.5"


def test_an_ablation_gives_means_deviations_and_differences_by_seed(tmp_path: Path) -> None:
    whole, half, dense = cells(ablation(tmp_path), "ablation-mask")
    assert (whole["row"], half["row"], dense["budget"]) == ("importance and sparsity", "importance only", "dense")
    assert [row["published_top1"] for row in (whole, half, dense)] == ["", "", ""]
    assert float(whole["top1_test"]) == pytest.approx(96.7)
    assert float(half["top1_test_deviation"]) == 0.0
    assert float(half["difference"]) == pytest.approx(-2.0)
    assert float(half["difference_deviation"]) == pytest.approx(1.0)
    assert whole["difference"] == ""
    (table,) = tables(read([tmp_path / "r"]), "ablation-mask")
    # Deviations of 1 and 0 points over three seeds each: pooled 1 / sqrt 2, and twice its error of a difference.
    assert "is 0.71 points of top-1 test: with 3 seeds a row, differences below about 1.2 points" in table.notes[2]


def test_a_switched_off_part_is_in_the_ablation_alone(tmp_path: Path) -> None:
    folder = ablation(tmp_path)
    assert [table.name for table in tables(read([folder]))] == ["main", "search-cost", "ablation-mask"]
    ours = [row["network"] for row in cells(folder, "main") if row["seeds"]]
    assert ours == ["digits, dense", "digits at 0.5"]


def test_trials_that_differ_in_more_are_no_ablation(tmp_path: Path) -> None:
    other = trial(1, 95.0, {"mask": "importance", "epochs": 10})
    folder = write(tmp_path / "r", [trial(0, 96.0), other])
    assert all(row["seeds"] == "" for row in cells(folder, "ablation-mask"))


def test_a_switch_that_a_sampler_suggested_is_no_row(tmp_path: Path) -> None:
    found: list[Record] = []
    for seed, masks in enumerate((("both", "importance"), ("importance", "sparsity"))):
        for place, mask in enumerate(masks):
            made = trial(2 * seed + place, 97.0 - place, {"mask": mask}, seed=seed)
            found.append(
                made.model_copy(update={"params_explored": {"search.mask": mask, "search.lr": 0.1 * len(found)}})
            )
    folder = factory.write(tmp_path / "r", found)
    assert all(row["seeds"] == "" for row in cells(folder, "ablation-mask"))
    assert [row["network"] for row in cells(folder, "main") if row["seeds"]] == []


def test_a_row_of_two_merged_sweeps_counts_once(tmp_path: Path) -> None:
    first = ablation(tmp_path)
    second = write(tmp_path / "s", [trial(0, 96.0, seed=0), trial(1, 94.0, {"mask": "sparsity"})], "more")
    (table,) = tables(read([first, second]), "ablation-mask")
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(row["row"], row["seeds"]) for row in rows[:3]] == [
        ("importance and sparsity", "3"),
        ("importance only", "3"),
        ("sparsity only", "1"),
    ]


def test_how_an_axis_was_decided_is_counted(tmp_path: Path) -> None:
    events = [
        factory.event(1, "embed", (1, 64), (1, 56), 0.1),
        factory.event(2, "embed", (1, 56), (1, 48), 0.2, decided=True),
        factory.event(4, "blocks.0.attn", (4, 16), (3, 16), 0.7, decided=True, projected=True),
        factory.event(4, "blocks.0.mlp", (1, 256), (1, 128), 0.7, decided=True, projected=True),
    ]
    found = [trial(0, 96.0, events=events), trial(1, 95.0, {"pmim": {"mode": "off"}}, events=events[:2])]
    on, off, _ = cells(write(tmp_path / "r", found), "ablation-pmim")
    assert [on[key] for key in ("eliminated", "projected", "output_gap")] == ["1.0", "2.0", "0.7"]
    assert [off[key] for key in ("eliminated", "projected", "output_gap")] == ["1.0", "0.0", "0.2"]


def test_a_sweep_that_is_running_says_what_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [trial(0, 96.0), factory.failed(1)])
    factory.write_open(folder, 2, running=True)
    (table,) = tables(read([folder]), "main")
    assert "Of 3 trials these are in no row: 1 failed, 1 running." in table.notes


@pytest.mark.parametrize("argv", [["nowhere"], [".", "--table", "best"]])
def test_bad_input_is_one_line(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.journal").touch()
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]


@pytest.mark.parametrize("name", BUILDERS)
def test_latex_has_as_many_cells_as_columns_and_escapes_all_text(name: str, tmp_path: Path) -> None:
    (table,) = tables(read([ablation(tmp_path)]), name)
    body = latex(table).partition("\\midrule")[2].partition("\\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(rows) == sum(map(len, table.sections))
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(table.columns)}
    assert not re.search(r"(?<!\\)[%#_]", body)


def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["-1e+308"])
    assert capsys.readouterr().err.count("\n") == 1
