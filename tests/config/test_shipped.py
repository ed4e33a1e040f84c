"""Shipped sweeps are found by name from any folder; an existing file of that name goes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofb_ray.cli import main
from ofb_ray.config import shipped
from ofb_ray.config.load import load_sweep
from ofb_ray.config.shipped import find_sweep, shipped_sweep, shipped_sweeps
from ofb_ray.errors import InputError

SWEEPS = Path(__file__).parent.parent.parent / "sweeps"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_sweep_of_the_repository_is_shipped_and_no_cluster_file() -> None:
    files = {file for file in SWEEPS.rglob("*.yaml") if file.parent.name != "cluster"}
    assert set(shipped_sweeps().values()) == files
    assert {"digits", "paper/main_digits"} < set(shipped_sweeps())


def test_a_shipped_sweep_is_loaded_by_its_name() -> None:
    assert load_sweep("digits") == load_sweep(SWEEPS / "digits.yaml")
    assert load_sweep("paper/main_digits").name == "main_digits"


def test_an_existing_file_goes_before_a_shipped_sweep_and_a_folder_does_not() -> None:
    Path("digits").mkdir()
    assert find_sweep("digits") == shipped_sweep("digits")
    Path("digits").rmdir()
    Path("digits").write_text("name: mine\nbudgets: [0.5]\n")
    assert load_sweep("digits").name == "mine"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("digts", "digits"),
        ("digits.yaml", "digits"),
        ("sweeps/digits.yaml", "digits"),
        ("main_digits", "paper/main_digits"),
        ("paper/man_digits", "paper/main_digits"),
        ("deit_smal_imagenet", "deit_small_imagenet"),
    ],
)
@pytest.mark.parametrize("command", ["sweep", "trial", "sweeps"])
def test_an_unknown_name_is_one_line_with_the_nearest_one(
    command: str, name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ofb-ray: {name}: ")
    assert err.count("\n") == 1
    assert f"did you mean '{meant}'?" in err
    assert "`ofb-ray sweeps` lists them" in err
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_is_no_sweep() -> None:
    Path("photos").mkdir()
    with pytest.raises(InputError, match="photos: it is a folder, and no shipped sweep has this name"):
        find_sweep("photos")


def test_an_error_in_a_shipped_sweep_names_its_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "deit_tiny_imagenet"]) == 2
    file = SWEEPS / "deit_tiny_imagenet.yaml"
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "root:" in text)
    assert f"{file}:{line}: data.root: no such folder" in capsys.readouterr().err


def test_the_wheels_folder_goes_before_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "shipped"
    (inside / "paper").mkdir(parents=True)
    (inside / "mine.yaml").touch()
    (inside / "paper" / "table.yaml").touch()
    monkeypatch.setattr(shipped, "_FOLDERS", (inside, SWEEPS))
    assert shipped_sweeps() == {"mine": inside / "mine.yaml", "paper/table": inside / "paper" / "table.yaml"}
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path / "gone",))
    assert shipped_sweeps() == {}
