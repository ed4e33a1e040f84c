"""`python -m analysis.search`: what its pictures are made of, and that every state of a sweep gives them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import figures, search
from analysis.searches import importances, maps, slices, trajectories, widths
from analysis.searches.explored import Group, Parameter, groups
from analysis.searches.sentences import decisions, kept
from analysis.searches.trace import AxisTrace, SearchTrace, read_trace
from analysis.trials.read import read
from ofb_ray.errors import InputError
from ofb_ray.results.files import trial_folder
from ofb_ray.results.records import Record
from ofb_ray.results.store import CACHE_VARIABLE, Remote
from tests.analysis.factory import event, failed, record, write, write_open, write_trial_file

NAN = float("nan")
SEARCH = {"epochs": 4, "lambda_start": 0.99, "lambda_end": 0.1, "mask_warmup": 0.5}
HISTORY: list[dict[str, Any]] = [
    *({"phase": "dense", "epoch": epoch, "loss": 1.0, "top1_val": 60.0 + 19 * epoch} for epoch in (1, 2)),
    *(
        {
            "phase": "search",
            "epoch": epoch,
            "top1_val": 90.0 + epoch,
            "budget_used": 1 + 0.2 * (3 - epoch),
            "current_macs": 1_000_000 - 150_000 * epoch,
            "expected_macs": 600_000,
        }
        for epoch in (1, 2, 3, 4)
    ),
    {"phase": "finetune", "epoch": 1, "loss": 1.0, "top1_val": 97.0},
]


EVENTS = [
    event(2, "embed", (1, 64), (1, 56), 0.1),
    event(2, "blocks.0.attn", (4, 16), (4, 16), 0.1),
    event(3, "blocks.0.mlp", (1, 256), (1, 128), 0.02, decided=True),
    event(3, "embed", (1, 56), (1, 48), 0.3, decided=True, projected=True),
    event(3, "blocks.0.attn", (4, 16), (3, 16), 0.3, decided=True, projected=True),
]


def searched(number: int = 0, ratio: float = 0.5, top1: float | None = 97.5, **changes: Any) -> Record:
    """A trial with the history and the events of a search."""
    made = record(number, ratio, top1, history=HISTORY, events=EVENTS, **changes)
    return made.model_copy(update={"spec": {**made.spec, "search": SEARCH}})


def write_trace(folder: Path, **changes: Any) -> None:
    """Two axes, one of two heads, over three snapshots; the second head is cut in the last, which decides the axis."""
    cut = 255
    score = np.array([[254, 127, 254, 127, 50, 25], [254, 127, 254, 127, 50, 25], [254, 127, 127, 254, cut, cut]])
    sparsity = np.array([[254, 0, 254, 254, 127, 127], [254, 0, 254, 254, 127, 127], [254, 0, 254, 254, cut, cut]])
    arrays = {
        "format": np.int32(1),
        "axis": np.array(["embed", "blocks.0.attn"]),
        "kind": np.array(["embedding", "attention"]),
        "heads": np.array([1, 2]),
        "width": np.array([2, 2]),
        "epoch": np.array([0, 2, 4]),
        "lam": np.array([0.99, 0.1, 0.1]),
        "decided": np.array([-1, 2]),
        "score": score.astype(np.uint8),
        "sparsity": sparsity.astype(np.uint8),
        "p": np.array([[0.5, 0.5, 0.25, 0.75]] * 2 + [[0.5, 0.5, 1.0, 0.0]], dtype=np.float16),
        "candidate_axis": np.array([0, 0, 1, 1]),
        "candidate_heads": np.array([1, 1, 1, 2]),
        "candidate_width": np.array([1, 2, 2, 2]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "search.npz").open("wb") as file:
        np.savez_compressed(file, **{**arrays, **changes})


def said(figure: Figure) -> str:
    """All text of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text) if isinstance(text, mpl.text.Text))


def _named(figure: Figure, name: str) -> dict[str, bytes]:
    return {f"{name}.{kind}": b"x" for kind in ("png", "pdf", "svg")}


def _laid_out(figure: Figure, name: str) -> dict[str, bytes]:
    figure.draw_without_rendering()
    return _named(figure, name)


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and not rendered three times."""
    monkeypatch.setattr(figures, "figure_files", _laid_out)


@pytest.fixture
def only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not laid out either: what is tested is which there are."""
    monkeypatch.setattr(figures, "figure_files", _named)


def test_a_trace_is_read_in_units_of_the_dense_network(tmp_path: Path) -> None:
    write_trace(tmp_path)
    trace = read_trace(tmp_path)
    assert trace is not None
    embed, attention = trace.axes.values()
    assert embed.score[0] == pytest.approx([1.0, 0.5])
    assert attention.score[1] == pytest.approx([1.0, 0.5, 50 / 254, 25 / 254])
    assert attention.score[2] == pytest.approx([1.0, 2.0, NAN, NAN], nan_ok=True)  # gates, up to 2
    assert attention.sparsity[2] == pytest.approx([1.0, 1.0, NAN, NAN], nan_ok=True)
    assert attention.candidates == ((1, 2), (2, 2))
    assert (attention.p[2].tolist(), attention.decided, embed.decided) == ([1.0, 0.0], 2, None)
    assert read_trace(tmp_path / "older") is None


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04torn"])
def test_a_torn_trace_is_bad_input(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "search.npz").write_bytes(content)
    with pytest.raises(InputError, match="no search trace"):
        read_trace(tmp_path)


def test_a_trace_of_another_format_is_bad_input(tmp_path: Path) -> None:
    write_trace(tmp_path, format=np.int32(2))
    with pytest.raises(InputError, match="not of format 1"):
        read_trace(tmp_path)


def test_units_are_ordered_by_life_then_importance_and_heads_stay_together() -> None:
    score = np.array([[0.1, 0.9, 0.5, 0.4, 0.7, 0.8], [0.2, NAN, NAN, 0.4, 0.3, 0.8]])
    axis = AxisTrace("a", "attention", 2, 3, score, score, ((2, 3),), np.ones((2, 1)), None)
    assert maps.unit_order(axis).tolist() == [5, 3, 4, 0, 1, 2]
    assert maps.unit_order(axis, "index").tolist() == [0, 1, 2, 3, 4, 5]


def test_many_axes_are_thinned_and_wrong_names_refused(tmp_path: Path) -> None:
    write_trace(tmp_path)
    trace = read_trace(tmp_path)
    assert trace is not None
    axis = trace.axes["embed"]
    many = SearchTrace(trace.epoch, trace.lam, {f"blocks.{number}.mlp": axis for number in range(25)})
    assert len(maps.chosen(many)) == maps.MOST
    assert maps.chosen(trace, ["blocks.0.attn"]) == [trace.axes["blocks.0.attn"]]
    with pytest.raises(InputError, match="'embed'"):
        maps.chosen(trace, ["embd"])
    with pytest.raises(InputError, match="at most 10"):
        maps.chosen(many, list(many.axes))


def test_events_of_one_rebuild_are_one_cut() -> None:
    found = trajectories.cuts(searched())
    assert [(cut.epoch, cut.axes, cut.units, cut.decided, cut.gap, cut.projected) for cut in found] == [
        (2, 1, 8, 0, 0.1, False),
        (3, 1, 128, 1, 0.02, False),
        (3, 2, 8 + 16, 2, 0.3, True),
    ]


@pytest.mark.parametrize(("epoch", "value"), [(0, 0.99), (1, 0.545), (2, 0.1), (4, 0.1)])
def test_lambda_falls_linearly_over_the_warm_up(epoch: int, value: float) -> None:
    assert trajectories.lam(searched(), epoch) == pytest.approx(value)


def test_phases_have_their_share_of_the_axis_and_count_their_own_epochs() -> None:
    phases = trajectories.Phases(searched())
    assert phases.epochs == {"dense": 2, "search": 4, "finetune": 1}
    assert [phases.x("dense", 2), phases.x("search", 2), phases.x("finetune", 1)] == [1.0, 2.5, 5.5]
    axes = Figure().add_subplot()
    trajectories.draw_cost(axes, searched())
    expected = next(line for line in axes.get_lines() if line.get_label() == "expected cost")
    assert expected.get_ydata() == pytest.approx([0.7, 0.6, 0.5, 0.4])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "1", "3", "4", "1"]


def test_the_widths_stand_beside_those_that_the_search_started_from() -> None:
    made = widths.subnet_of(searched())
    assert made is not None
    assert (made.dense["embed"], made.sizes["embed"]) == ((1, 64), (1, 48))
    assert made.dense["blocks.0.attn"] == (4, 16)
    assert made.dense["blocks.1.mlp"] == made.sizes["blocks.1.mlp"]  # without an event nothing was cut
    panels = widths.panels(made)
    assert list(panels) == ["embedding", "heads", "channels per head", "MLP"]
    assert panels["embedding"] == [widths.Cell(0, 4, 48, 64)]
    assert panels["heads"][0] == widths.Cell(0, 1, 3, 4)
    said = kept([made])
    assert said.startswith("In the subnet on the front, kept most: ")
    most, _, least = said.partition("; cut most: ")
    assert least.startswith("blocks.0.mlp 50%")
    assert "blocks.0.mlp" not in most


SWIN = {"embed.0": (1, 8), "layers.0.blocks.0.attn": (2, 8), "layers.0.blocks.0.mlp": (1, 32), "embed.1": (1, 16)}
SWIN |= {f"layers.1.blocks.{b}.{part}": size for b in (0, 1) for part, size in (("attn", (4, 8)), ("mlp", (1, 64)))}
TNT = {"embed.inner": (1, 8), "embed.outer": (1, 16), "blocks.0.attn_in": (2, 4), "blocks.0.mlp_in": (1, 32)}
TNT |= {"blocks.0.attn_out": (2, 8), "blocks.0.mlp": (1, 64)}
TNT_PANELS = [
    "embedding, inner",
    "embedding, outer",
    "heads, inner",
    "channels per head, inner",
    "MLP, inner",
    "heads, outer",
    "channels per head, outer",
    "MLP",
]


@pytest.mark.parametrize(
    ("sizes", "titles", "spans", "ticks"),
    [
        (SWIN, ["embedding", "heads", "channels per head", "MLP"], [(0, 1), (1, 3)], ["0.0", "1.0", "1.1"]),
        (
            TNT,
            TNT_PANELS,
            [(0, 1)],
            ["0"],
        ),
        ({"stem": (1, 8)}, ["embedding"], [(0, 1)], []),
    ],
    ids=["swin", "tnt", "unknown"],
)
def test_axes_of_every_family_have_a_place(
    sizes: dict[str, tuple[int, int]], titles: list[str], spans: list[tuple[int, int]], ticks: list[str]
) -> None:
    subnet = widths.Subnet("a", sizes, sizes)
    panels = widths.panels(subnet)
    assert list(panels) == titles
    assert [(cell.left, cell.right) for cell in panels[titles[0]]] == spans
    assert widths.columns(subnet) == ticks
    figure = widths.figure([subnet] * 30)
    assert "12 of 30" in said(figure)


def test_with_several_seeds_the_widths_are_those_behind_the_means(tmp_path: Path) -> None:
    """A single lucky seed is on the front of trials, and hides the other budget there."""
    tops = {(0.25, 0): 99.0, (0.25, 1): 95.0, (0.5, 0): 97.0, (0.5, 1): 98.0}
    trials = [
        record(number, ratio, top1, seed=seed, params_explored={"search.lr": 1 + number / 10})
        for number, ((ratio, seed), top1) in enumerate(tops.items())
    ]
    results = read([write(tmp_path / "r", trials)])
    which, shown = widths.chosen(results)
    assert (which, [trial.number for trial in shown]) == ("selected subnets", [0, 1, 2, 3])
    assert len(widths.subnets(results)[0]) == 4
    one = read([write(tmp_path / "one", [trials[0], trials[2]])])
    assert widths.chosen(one) == ("subnets on the front", [one.trials[0]])


def group(top1: Sequence[float | None], **values: Sequence[Any]) -> Group:
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    kinds = [
        Parameter(key, tuple(dict.fromkeys(column)))
        if isinstance(column[0], str)
        else Parameter(key, (), min(column), max(column))
        for key, column in values.items()
    ]
    return Group("0.5", tuple(kinds), tuple(rows), tuple(top1))


DRAW = np.random.default_rng(0)
NOISE, LR = DRAW.uniform(size=24).tolist(), DRAW.uniform(size=24).tolist()
MASK = DRAW.choice(["both", "sparsity"], size=24).tolist()


@pytest.mark.parametrize(
    ("top1", "best"), [([90 + 5 * lr for lr in LR], "lr"), ([90 + (mask == "both") for mask in MASK], "mask")]
)
def test_the_parameter_that_moves_the_accuracy_comes_first_and_twice_the_same(top1: list[float], best: str) -> None:
    found = [importances.importance(group(top1, noise=NOISE, lr=LR, mask=MASK)) for _ in range(2)]
    assert found[0] == found[1]
    assert next(iter(found[0].shares)) == best
    assert found[0].shares[best] > 0.7
    assert sum(found[0].shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (group([90.0 + x for x in range(7)], lr=LR[:7]), "7 finished trials: too few, 8 needed"),
        (group([90.0, *[None] * 20], lr=LR[:21]), "1 finished trial: too few"),
        (group([90.0] * 12, lr=LR[:12]), "same top-1"),
        (group([90.0 + x for x in range(9)], lr=[0.1] * 9), "no parameter was varied"),
        (Group("0.5", (), tuple({} for _ in range(9)), tuple(float(x) for x in range(9))), "nothing was explored"),
    ],
)
def test_a_reason_stands_where_no_number_means_anything(made: Group, reason: str) -> None:
    found = importances.importance(made)
    assert found.shares == {}
    assert reason in found.reason
    assert reason in said(importances.figure([found]))
    assert reason in importances.importances_csv([found])


def test_a_parameter_that_some_trials_lack_is_left_out() -> None:
    made = group([90 + 5 * lr for lr in LR], noise=NOISE, lr=LR)
    lacking = tuple({"noise": row["noise"]} if number == 3 else row for number, row in enumerate(made.values))
    assert list(importances.importance(Group("0.5", made.parameters, lacking, made.top1)).shares) == ["noise"]


def test_ranges_come_from_the_sweep_and_promoted_trials_are_left_out(tmp_path: Path) -> None:
    trials = [searched(0, params_explored={"search.lr": 0.5, "search.mask": "both", "free": 3}), searched(1), failed(2)]
    trials.append(searched(3, macs=900_000))  # over its budget: no accuracy to compare
    folder = write(tmp_path, trials)
    sweep = "name: digits\nparameters:\n  search.lr: {min: 0.1, max: 2, log: true}\ngrid:\n  search.mask: [both, x]\n"
    (folder / "sweep.yaml").write_text(sweep, encoding="utf-8")
    write_trial_file(folder, trials[1], promotes=0)
    (found,) = groups(read([folder]))
    assert found.parameters == (
        Parameter("search.lr", (), 0.1, 2, True),
        Parameter("search.mask", ("both", "x")),
        Parameter("free", (), 3, 3),
        Parameter("search.one_hot_weight", (), 0.52, 0.53),
    )
    assert found.top1 == (97.5, None, None)


def test_slices_mark_what_failed_and_use_the_range() -> None:
    axes = Figure().add_subplot()
    made = group([90.0, None, 92.0], lr=[0.1, 0.5, 2.0])
    slices.draw_slice(axes, made, Parameter("lr", (), 0.1, 2.0, log=True))
    assert axes.get_xscale() == "log"
    offsets = [collection.get_offsets() for collection in axes.collections]
    assert [len(np.asarray(each)) for each in offsets] == [2, 1, 1]  # finished, the best of them, failed


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


def test_facts_of_a_search_without_cuts() -> None:
    assert decisions(record(0), "Trial #0") == "Trial #0: no cut."


def test_budgets_that_explored_other_parameters_have_their_own_panels() -> None:
    some, other = group([90.0, 91.0], lr=[0.1, 0.2]), group([90.0, 91.0], decay=[0.1, 0.2])
    figure = slices.figure([some, Group("0.7", (), ({},), (90.0,)), other])
    shown = [(axes.get_xlabel(), bool(axes.get_ylabel())) for axes in figure.axes if axes.get_visible()]
    assert shown == [("lr", True), ("decay", True)]
