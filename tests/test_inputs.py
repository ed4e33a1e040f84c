"""The gate in front of files, paths and texts that anybody may have made: each cause that an attack found."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import ofb_ray
from analysis.trials.sweep_file import read_sweep_file
from ofb_ray.cli import main
from ofb_ray.config import TrialSpec, yaml12
from ofb_ray.config.load import load_sweep
from ofb_ray.errors import LINE, BrokenFileError, InputError, one_line
from ofb_ray.export import loader
from ofb_ray.export.folder import export_trial
from ofb_ray.inputs import load_json, read_bytes, user_path
from ofb_ray.results.files import TrialFile
from ofb_ray.results.folder import read_sweep
from tests.export.trials import subnet, write_trial
from tests.tuning.fake import make_record

# 442 bytes that stand for 8 * 6**8 values.
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 6)}]\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "too many values"),
        ("a: " + "[" * 60 + "]" * 60, "at most 40 levels"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: !!int x", "x is no integer"),
        ("a: !!float x", "x is no number"),
        ("a: !!binary aGk=", "the tag tag:yaml.org,2002:binary is not taken"),
        (f"a: {'1' * 5000}", "is no integer"),
        ("a: 99999999999999999999", "more than 64 bits"),
        ('a: "\\e[2J"', "holds a control character"),
        ("\x00", "special characters are not allowed"),
    ],
)
def test_yaml_that_is_no_sweep_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        yaml12.load(text, "s.yaml")
    line = str(error.value)
    assert len(line) <= LINE
    assert line.isprintable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nobody-of-that-name/x", "unknown user"),
        ("a\0b", "a character that no path should have"),
        ("\x1b[2J", "a character that no path should have"),
        ("a" * 300, "is no path"),
        ("loop", "loop of links|is no path"),
    ],
)
def test_what_no_file_can_be_called_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(InputError, match=message):
        user_path(name)


def test_a_path_in_a_sweep_passes_the_same_gate(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml12.dump({"name": "s", "budgets": [0.5]}))
    for key in ("storage", "model.weights", "data.root"):
        with pytest.raises(InputError, match=f"--set: {key}: '~nobody-of-that-name/x' names an unknown user"):
            load_sweep(tmp_path / "s.yaml", [f"{key}=~nobody-of-that-name/x"])


def test_only_plain_files_of_their_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * 11)
    done: list[str] = []

    def read_all() -> None:
        for name in ("fifo", "device", "folder", "large"):
            with pytest.raises(BrokenFileError) as error:
                read_bytes(tmp_path / name, 10)
            done.append(error.value.message)

    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    thread.join(10)
    assert done[:3] == ["is no plain file: put the file itself there"] * 3
    assert "too large" in done[3]


def test_json_has_finite_numbers_and_shows_its_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": "\\u001b[2J", "b": "NaN"}')
    assert load_json(path) == {"a": "\\x1b[2J", "b": "NaN"}
    path.write_text('{"a": NaN}')
    with pytest.raises(BrokenFileError, match="NaN is not a number of JSON"):
        load_json(path)


def test_a_million_trials_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml12.dump({"name": "s", "budgets": [0.5], "trials": 1_000_000}))
    with pytest.raises(InputError, match=r"1,000,000 trials are 1,000,000: at most 100,000"):
        load_sweep(tmp_path / "s.yaml")


def test_a_grid_of_a_million_points_is_refused_before_it_is_listed(tmp_path: Path) -> None:
    keys = (
        "search.lr",
        "search.min_lr",
        "search.doubt",
        "search.one_hot_weight",
        "search.budget_weight",
        "finetune.lr",
    )
    parameters = {key: {"values": [0.1 + 0.01 * place for place in range(10)]} for key in keys}
    text = yaml12.dump({"name": "s", "budgets": [0.5], "sampler": "grid", "parameters": parameters})
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=r"1,000,000 trials are 1,000,000: at most 100,000"):
        load_sweep(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "hf-hub:timm/vit"}, "is no name of timm's"),
        ({"name": "https://localhost/x"}, "is no name of timm's"),
        ({"args": {"checkpoint_path": "/etc/passwd"}}, "args.checkpoint_path is not taken"),
        ({"args": {"pretrained_cfg": {"file": "x"}}}, "args.pretrained_cfg is not taken"),
        ({"args": {"depth": 10**7}}, "at most 1048576"),
        ({"args": {"depth": 100, "embed_dim": 100_000}}, "more than 2e"),
        ({"args": {"depth": 4000}}, "args.depth makes 4000 blocks: at most 256"),
        ({"args": {"depths": [2, 2, 600, 2]}}, "args.depths makes 606 blocks: at most 256"),
        ({"args": {"img_size": 8, "num_heads": 0}}, "timm cannot build"),
        ({"args": {"img_size": 8, "norm_layer": "nope"}}, "timm cannot build"),
    ],
)
def test_an_architecture_that_fetches_opens_or_cannot_be_built_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write_trial(tmp_path, "plain", *subnet("plain"))
    path = tmp_path / "arch.json"
    arch = json.loads(path.read_bytes())
    path.write_text(json.dumps({**arch, "attributes": {}, "model": {**arch["model"], **change}}))
    with pytest.raises(InputError, match=message):
        ofb_ray.load(tmp_path)
    if "not taken" in message or "no name" in message:
        with pytest.raises(ValueError, match="must only name a timm model"):
            loader.load(tmp_path)


def test_a_record_cannot_lead_out_of_its_folder_nor_ask_for_the_whole_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    record = make_record(TrialSpec(budget={"macs_ratio": 0.5}, seed=0)).model_dump(mode="json")
    changes: list[tuple[dict[str, Any], str]] = [
        ({"sweep": "../../.."}, "sweep: String should match pattern"),
        ({"environment": {"threads": 10**9}}, "environment.threads: is 1000000000"),
        ({"environment": {"workers": "x"}}, "environment.workers: is 'x'"),
        ({"subnet": {"macs": -1, "params": 1}}, "subnet.macs: Input should be greater"),
    ]
    for number, (change, message) in enumerate(changes):
        folder = tmp_path / str(number) / "00000"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps({**record, **change}))
        assert main(["trial", "--from", str(folder)]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]


def test_a_trial_file_names_its_wrong_key(tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text('{"trial": 0, "key": "k", "spec": [], "sweep": "s"}')
    with pytest.raises(BrokenFileError, match=r"trial\.json: spec: Input should be an object"):
        TrialFile.read(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("record.json", {"spec": {"model": {"name": "vit"}}}, r"record\.json: spec\.data"),
        ("record.json", {"spec": {"chain": []}}, r"record\.json: spec\.chain"),
        ("latency.json", {"rows": []}, r"latency\.json: device_name"),
    ],
)
def test_what_a_card_tells_is_checked_before_an_export(
    tmp_path: Path, name: str, change: dict[str, Any], message: str
) -> None:
    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    path = tmp_path / "trial" / name
    known = json.loads(path.read_bytes()) if path.exists() else {}
    path.write_text(json.dumps({**known, **change}))
    with pytest.raises(BrokenFileError, match=message):
        export_trial(tmp_path / "trial", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [["x", 8, 8], {"a": [3, 8, 8]}, [3, 8], [3, 0, 8]])
def test_how_images_were_prepared_is_checked_too(tmp_path: Path, size: object) -> None:
    write_trial(tmp_path, "plain", *subnet("plain"))
    path = tmp_path / "arch.json"
    arch = json.loads(path.read_bytes())
    path.write_text(json.dumps({**arch, "input": {**arch["input"], "input_size": size}}))
    with pytest.raises(InputError, match=r"arch\.json: input\.input_size"):
        ofb_ray.load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        ["sweep"],
        ["x" * 1000],
        ["latency", "t", "--batch", "0"],
        ["sweep", "\x1b[2J"],
        ["trial", "--from", ""],
        ["trial", ""],
    ],
)
def test_a_wrong_command_line_is_one_line(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(line)
    except SystemExit as end:
        code = int(end.code or 0)
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert len(error) <= LINE + 1
    assert error.rstrip("\n").isprintable()


def test_a_long_line_keeps_its_beginning_and_its_remedy() -> None:
    line = one_line(f"s.yaml: {'x' * 2000}: leave it out")
    assert len(line) == LINE
    assert line.startswith("s.yaml: xx")
    assert line.endswith("x: leave it out")


def test_below_a_file_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert TrialFile.read(tmp_path / "file") is None


def test_a_sweep_file_that_is_no_text_is_told_by_whoever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_bytes(b"name: \xcf")
    for reader in (read_sweep_file, read_sweep):
        with pytest.raises(InputError, match=r"cannot read it \(not UTF-8 text\): restore it"):
            reader(tmp_path)
