"""What the outputs of an exported subnet are called: in `config.json`, in the card, and by the card's own script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

from ofb_ray.export import export_trial
from ofb_ray.method.axis import Widths
from ofb_ray.results.records import read_record
from tests.export.trials import subnet, write_trial

NAMES = ["bird", "猫", "قط", "two\nlines", "a ```b```", "\x1b[31mred", "x"]
SHOWN = ["bird", "猫", "قط", "two lines", "a ```b```", "\\x1b[31mred", "x"]


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Widths]:
    return subnet("plain")


def exported(folder: Path, small: tuple[nn.Module, Widths], names: list[str]) -> tuple[Path, str]:
    """The folder of an export of a trial with these names, and its card."""
    write_trial(folder / "trial", "plain", *small, class_names=names)
    export_trial(folder / "trial", folder / "to")
    return folder / "to", (folder / "to" / "README.md").read_text()


def said(folder: Path, card: str) -> str:
    """What the card's two scripts print for a white image, without this package."""
    Image.new("RGB", (40, 30), "white").save(folder / "IMAGE", "PNG")
    source = "".join(re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)).replace(
        "FOLDER", str(folder)
    )
    script = f"import sys\nsys.modules['ofb_ray'] = None\n{source}"
    call = [sys.executable, "-I", "-X", "utf8", "-c", script]
    return subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8").stdout


def test_names_stand_in_the_configuration_and_the_card_and_its_script_prints_them(
    tmp_path: Path, small: tuple[nn.Module, Widths]
) -> None:
    to, card = exported(tmp_path, small, NAMES)
    assert json.loads((to / "config.json").read_text())["label_names"] == SHOWN
    (listed,) = re.findall(r"^````text\n(.*?)^````$", card, re.DOTALL | re.MULTILINE)
    assert listed.splitlines() == [f"{label} {name}" for label, name in enumerate(SHOWN)]
    lines = said(to, card).splitlines()
    assert len(lines) == 3
    assert {line.split(" ", 1)[1] for line in lines} <= set(SHOWN)


@pytest.mark.parametrize("names", [[], ["one", "too few"]], ids=["unknown", "of another number"])
def test_without_names_the_script_prints_numbers(
    tmp_path: Path, small: tuple[nn.Module, Widths], names: list[str]
) -> None:
    to, card = exported(tmp_path, small, names)
    assert "label_names" not in json.loads((to / "config.json").read_text())
    assert "## Classes" not in card
    assert {line.split(" ", 1)[1] for line in said(to, card).splitlines()} <= set(map(str, range(7)))


def test_a_record_from_before_names_were_kept_is_read(tmp_path: Path, small: tuple[nn.Module, Widths]) -> None:
    write_trial(tmp_path, "plain", *small)
    path = tmp_path / "record.json"
    tree = json.loads(path.read_text())
    del tree["class_names"]
    path.write_text(json.dumps(tree))
    record = read_record(tmp_path)
    assert record is not None
    assert record.class_names == []
