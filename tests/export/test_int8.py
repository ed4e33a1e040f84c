"""`ofb-ray export --int8`: file, card, facts beside the record, times in turns; and `--backend onnxruntime-int8`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ofb_ray.cli import main
from ofb_ray.errors import InputError
from ofb_ray.export import export_trial, kept, timing
from ofb_ray.export.card_int8 import cost, float_layers, int8_section
from ofb_ray.export.kept import MadeInt8, int8_model, write_int8
from ofb_ray.results.int8 import INT8_FILE, INT8_MODEL, FloatLayer, Int8File, digest_of, read_latency
from tests.export.int8.digits import NAMES, digits_trial
from tests.export.trials import subnet, write_trial
from tests.int8_facts import facts

LINE = ["--batch", "1", "--seconds", "0.05", "--threads", "1"]


def latency(**changes: Any) -> dict[str, Any]:
    rows = [
        {"network": name, "backend": "onnxruntime-int8", "batch": 1, "median_ms": time, "low_ms": time, "high_ms": time}
        for name, time in (("dense", 8.0), ("subnet-float32", 4.0), ("subnet", 2.0))
    ]
    ratio = {"backend": "onnxruntime-int8", "batch": 1, "time_ratio": 0.25, "float32_ratio": 0.5}
    return {"device_name": "a CPU", "threads": 2, "rows": rows, "ratios": [ratio], **changes}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trial on the digits and what `export --int8` makes of it, in `to`."""
    root = tmp_path_factory.mktemp("int8")
    digits_trial(root / "00007")
    before = (root / "00007" / "record.json").read_bytes()
    assert main(["export", str(root / "00007"), "--to", str(root / "to"), "--int8", *LINE]) == 0
    assert (root / "00007" / "record.json").read_bytes() == before
    return root


def test_the_folder_the_trial_and_the_configuration_hold_the_facts(exported: Path) -> None:
    trial, to = exported / "00007", exported / "to"
    for name in (INT8_FILE, INT8_MODEL):
        assert (trial / name).read_bytes() == (to / name).read_bytes()
    known = Int8File.read(to)
    assert known is not None
    assert known.latency is not None
    assert known.model_sha256 == digest_of((to / INT8_MODEL).read_bytes())
    assert [(row.network, row.backend, row.batch) for row in known.latency.rows] == [
        (network, "onnxruntime-int8", 1) for network in ("dense", "subnet", "subnet-float32")
    ]
    assert known.latency.ratios[0].float32_ratio > 0
    told = json.loads((to / "config.json").read_text())["int8"]
    assert (told["file"], told["top1_test"], told["float_layers"]) == (INT8_MODEL, known.top1_test, [])
    assert not (trial / "latency.json").exists()
    found = read_latency(trial, "onnxruntime-int8")
    assert found is not None
    assert found.median_ms("subnet", "onnxruntime-int8", 1)
    assert read_latency(trial, "torch") is None


@pytest.mark.slow
def test_the_cards_script_classifies_an_image_and_prints_names(exported: Path, tmp_path: Path) -> None:
    Image.new("L", (16, 16), "white").save(tmp_path / "IMAGE", "PNG")
    card = (exported / "to" / "README.md").read_text()
    section = card[card.index("## int8") :]
    (script,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    source = f"import sys\nsys.modules['ofb_ray'] = None\n{script}".replace("FOLDER", str(exported / "to"))
    call = [sys.executable, "-I", "-c", source]
    lines = subprocess.run(call, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 3
    assert {line.rpartition(" ")[0] for line in lines} <= set(NAMES)
    for words in ("| **subnet, int8** |", "held-out training images", "all 10 layers with weights are in int8"):
        assert words in section, words


@pytest.mark.slow
def test_the_latency_command_times_the_kept_network(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "make_int8", lambda *_, **__: pytest.fail("made again"))
    trial = exported / "00007"
    assert main(["latency", str(trial), "--backend", "onnxruntime-int8", *LINE]) == 0
    out = capsys.readouterr().out
    document = json.loads((trial / "latency.json").read_text())
    (trial / "latency.json").unlink()
    assert [row["network"] for row in document["rows"]] == ["dense", "subnet", "subnet-float32"]
    assert document["onnx_provider"] == "CPUExecutionProvider"
    assert "float32_ratio" in document["ratios"][0]
    assert "onnxruntime-int8: the subnet in int8 over the dense network in float32" in out


def test_a_network_that_is_missing_or_of_other_weights_is_made_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = write_trial(tmp_path, "plain", *subnet("plain"))
    weights = digest_of((tmp_path / "model.safetensors").read_bytes())
    made: list[bytes] = []

    def make(*_: Any, **__: Any) -> MadeInt8:
        made.append(b"onnx %d" % len(made))
        return MadeInt8(made[-1], facts(made[-1], weights_sha256=weights))

    monkeypatch.setattr(kept, "make_int8", make)
    assert [int8_model(str(tmp_path), record, lambda _: None) for _ in range(2)] == [b"onnx 0"] * 2
    (tmp_path / INT8_MODEL).write_bytes(b"half of it")  # a killed writer leaves a file that the facts do not name
    assert int8_model(str(tmp_path), record, lambda _: None) == b"onnx 1"
    write_int8(str(tmp_path), MadeInt8(b"onnx", facts(b"onnx", weights_sha256="of another training")))
    assert int8_model(str(tmp_path), record, lambda _: None) == b"onnx 2"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_trial_in_a_store_gets_its_network_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFB_RAY_CACHE", str(tmp_path / "cache"))
    record = write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    weights = digest_of((tmp_path / "trial" / "model.safetensors").read_bytes())
    write_int8(f"file://{tmp_path / 'trial'}", MadeInt8(b"onnx", facts(weights_sha256=weights), latency()))
    assert (tmp_path / "trial" / INT8_MODEL).read_bytes() == b"onnx"
    monkeypatch.setattr(kept, "make_int8", lambda *_, **__: pytest.fail("made again"))
    assert int8_model(f"file://{tmp_path / 'trial'}", record, lambda _: None) == b"onnx"


def test_an_error_leaves_neither_the_folder_nor_a_part_of_it(tmp_path: Path) -> None:
    def fail() -> MadeInt8:
        raise InputError("no folder", key="data.root")

    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    before = {path.name for path in (tmp_path / "trial").iterdir()}
    with pytest.raises(InputError, match=r"data\.root"):
        export_trial(tmp_path / "trial", tmp_path / "to", int8=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["trial"]
    assert {path.name for path in (tmp_path / "trial").iterdir()} == before


def test_a_folder_that_cannot_take_the_files_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    monkeypatch.setattr("ofb_ray.export.kept.os.access", lambda *_: False)
    assert main(["export", str(tmp_path / "trial"), "--to", str(tmp_path / "to"), "--int8"]) == 2
    assert "cannot be written there: copy the trial first" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


def test_an_onnxruntime_without_quantisation_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization.qdq_quantizer", None)
    assert main(["export", str(tmp_path / "trial"), "--to", str(tmp_path / "to"), "--int8"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--int8: onnxruntime's quantisation cannot be imported" in line
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("options", [["--data", "elsewhere"], ["--backend", "onnxruntime-int4"]])
def test_bad_options_are_one_line(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    try:
        code = main(["export", str(tmp_path / "trial"), "--to", str(tmp_path / "to"), *options])
    except SystemExit as error:  # argparse's own
        code = int(error.code or 0)
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert options[0] in line


def test_int8_is_not_timed_on_a_gpu() -> None:
    assert "onnxruntime-int8" not in timing.BACKENDS
    with pytest.raises(InputError):
        timing.check_backend("onnxruntime-int8", torch.device("cuda"))


def test_the_card_says_what_int8_costs_and_why_layers_are_in_float() -> None:
    kept_in_float = (FloatLayer(name="blocks.0.mlp.fc2", error=0.2), FloatLayer(name="head", error=0.1))
    told = int8_section(facts(float_layers=kept_in_float), latency(), {})
    assert (
        "48 of 50 layers with weights are in int8; `blocks.0.mlp.fc2` (0.200), `head` (0.100) stay in float32" in told
    )
    assert "| **subnet, int8** | 83.90 | 84.00 | 5.80 | 2.00 (2.00 to 2.00) |" in told
    assert "costs 0.12 points of the right class's probability and 0.20 of top-1 (standard error 0.41)" in told
    assert "on 4,000 test images 0.10 of top-1 (standard error 0.17)" in told
    assert "0.50 of the time in float32 at batch 1" in told
    assert "found avx2, avx512_vnni" in told
    many = tuple(FloatLayer(name=f"layer{number}", error=0.1) for number in range(20))
    assert "and 8 others stay" in float_layers(facts(float_layers=many))


def test_what_is_missed_or_unknown_is_said() -> None:
    slow = facts(instructions=("avx2",), fast=False, reduce_range=True, top1_test=None, top1_test_float32=None)
    told = int8_section(slow, None, {})
    assert "no fast int8 that is known (found avx2)" in told
    assert "seven bits" in told
    assert "Times were not measured" in told
    assert "On a test split nothing is known" in told
    missed = cost(facts(met=False, top1_val=80.0, out_of_time=True))
    assert "4.20 of top-1 (standard error 0.41), **more than the 0.5 that it may**, and the time" in missed
