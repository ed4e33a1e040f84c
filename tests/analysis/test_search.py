"""`python -m analysis.search`: what its pictures are made of, and that every state of a sweep gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis import search
from ofb_ray.results.files import trial_folder
from ofb_ray.results.locations import CACHE_VARIABLE
from ofb_ray.results.records import Record
from ofb_ray.results.store import Remote
from tests.analysis.factory import failed, record, searched, write, write_open, write_trace


def _named(figure: Figure, name: str) -> dict[str, bytes]:
    return {f"{name}.{kind}": b"x" for kind in ("png", "pdf", "svg")}


def _laid_out(figure: Figure, name: str) -> dict[str, bytes]:
    figure.draw_without_rendering()
    return _named(figure, name)


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and not rendered three times."""
    monkeypatch.setattr(search, "figure_files", _laid_out)


@pytest.fixture
def only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not laid out either: what is tested is which there are."""
    monkeypatch.setattr(search, "figure_files", _named)


ALWAYS = {"importances", "slices", "widths", "trajectories"}


STATES: dict[str, list[Record]] = {
    "nothing": [],
    "one": [searched()],
    "failures": [failed(0), failed(1, dense=None)],
    "nothing explored": [searched(number, params_explored={}) for number in range(9)],
    "not measured": [searched(top1=None)],
    "no history": [record(0)],
    "only parameters": [searched(number, 0.1 + 0.1 * (number % 8), 90 + number % 5) for number in range(24)],
}


@pytest.mark.usefixtures("laid_out")
@pytest.mark.parametrize("state", STATES)
def test_every_state_of_a_sweep_gives_all_pictures(tmp_path: Path, state: str) -> None:
    folder = write(tmp_path / "r", STATES[state])
    write_open(folder, 90, running=True)
    text = search.analyse([folder])
    names = {path.name for path in (folder / "analysis").iterdir()}
    assert names == {f"{name}.{kind}" for name in ALWAYS for kind in ("png", "pdf", "svg")} | {"importances.csv"}
    assert all(len(line) <= 130 or str(tmp_path) in line for line in text.splitlines())
    if state == "one":
        said_so = " ".join(text.split())
        assert "No maps of 0: no search.npz" in said_so
        assert (
            "3 cuts of 160 units; 1 of 3 widths decided by elimination (epoch 3); 2 of 3 by the projection" in said_so
        )


@pytest.mark.usefixtures("only_named")
def test_two_sweeps_have_prefixed_trials_and_their_maps(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [searched(sweep=name)], name) for name in ("a", "b")]
    for folder in folders:
        write_trace(trial_folder(folder, 0))
    search.analyse(folders, tmp_path / "out", search.SearchOptions(trial="b/0"))
    assert {path.name for path in (tmp_path / "out").glob("maps*")} == {f"maps-b-0.{k}" for k in ("png", "pdf", "svg")}


@pytest.mark.usefixtures("only_named")
def test_the_trace_of_a_store_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = write(tmp_path / "r", [searched()])
    write_trace(trial_folder(folder, 0))
    search.analyse([f"file://{folder}"])
    assert Remote(f"file://{folder}/analysis").exists("maps-0.png")


@pytest.mark.slow
def test_the_command_writes_pictures_and_needs_no_torch(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [searched(number, 0.5, 90 + number) for number in range(8)])
    write_trace(trial_folder(folder, 7))
    code = "import sys; from analysis.search import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code, str(folder), "--order", "index"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "False"
    assert "search.one_hot_weight moves top-1 most, 100%" in " ".join(answer.stdout.split())
    made = folder / "analysis"
    assert {path.suffix for path in made.glob("maps-7.*")} == {".png", ".pdf", ".svg"}
    assert (made / "trajectories.png").read_bytes().startswith(b"\x89PNG")
    assert (made / "importances.csv").read_text().splitlines()[1].startswith("0.5,search.one_hot_weight,1.0000,8,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such folder"),
        (["r", "--trial", "7"], "there is no trial 7; there are 0, 90"),
        (["r", "--trial", "90"], "no record yet (running)"),
        (["r", "--axes", "nose"], "no axis of this trial"),
        (["r", "--out", "file"], "cannot write here"),
    ],
)
@pytest.mark.usefixtures("only_named")
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "r", [searched()])
    write_open(folder, 90, running=True)
    write_trace(trial_folder(folder, 0))
    (tmp_path / "file").write_text("x")
    assert search.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not (folder / "analysis").exists()
