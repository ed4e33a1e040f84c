"""The trace of a search: every unit at its place in the dense network, and no number of the trial changed by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ofb_ray.config import SearchSpec
from ofb_ray.method.bimask import BiMask
from ofb_ray.results.attempt import attempt
from ofb_ray.results.files import STATE_FILE, TRACE_FILE, trial_folder
from ofb_ray.results.locations import CACHE_VARIABLE, local_copy
from ofb_ray.results.records import read_record
from ofb_ray.results.store import Remote
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import prune
from ofb_ray.search.supernet import Supernet
from ofb_ray.search.trace import CUT, UNIT_SCALE, Trace, write
from ofb_ray.trial.run import run_trial
from tests.nets import supernet
from tests.small import small_spec

Arrays = dict[str, NDArray[Any]]


def arrays(folder: Path) -> Arrays:
    with np.load(folder / TRACE_FILE, allow_pickle=False) as file:
        return dict(file)


def mark(net: Supernet) -> dict[str, torch.Tensor]:
    """Give every unit of every axis its own importance, in random order; the importances."""
    generator = torch.Generator().manual_seed(3)
    marks = {}
    for name, mask in net.undecided.items():
        count = len(mask.score_U)
        value = (0.2 + 0.6 * torch.arange(count) / count)[torch.randperm(count, generator=generator)]
        with torch.no_grad():
            mask.score_U.copy_(value.logit())
        marks[name] = value
    return marks


def smaller(mask: BiMask) -> torch.Tensor:
    """All candidates but those of the largest heads and width, as far as there are others."""
    alive = torch.ones_like(mask.alive_IJ)
    alive[-1:] = len(alive) == 1
    alive[:, -1:] &= alive.shape[1] == 1
    return alive


@pytest.mark.parametrize("kind", ["plain", "swin", "tnt"])
def test_units_keep_their_place_in_the_dense_network_through_two_cuts(kind: str, tmp_path: Path) -> None:
    net = supernet(kind)
    marks = mark(net)
    axes = net.backbone.axes
    trace = Trace(axes, 2)
    trace.take(net, 0, 0.9)
    optimizer = make_search_optimizer(net, SearchSpec(), 10)
    for epoch in (1, 2):
        pruned = prune(net, optimizer, {name: smaller(mask) for name, mask in net.undecided.items()}, 0.5)
        net, optimizer = pruned.net, pruned.optimizer
        trace.cut(pruned.keeps)
        trace.take(net, epoch, 0.5)
    write(tmp_path, axes, trace.state())
    found = arrays(tmp_path)
    start = 0
    for axis, decided in zip(axes, found["decided"].tolist(), strict=True):
        units = slice(start, start := start + axis.full.units)
        for epoch, row in enumerate(found["score"][:, units]):
            living = row != CUT
            if decided < 0 or epoch < decided:
                assert row[living] == pytest.approx(UNIT_SCALE * marks[axis.name].numpy()[living], abs=0.51)
            assert ((found["sparsity"][epoch, units] == CUT) == ~living).all()
        size = net.backbone.axis(axis.name).size
        assert (found["score"][2, units] != CUT).sum() == size.units < axis.full.units
        # The best heads survive with the best channels of each: a unit that is kept beats those that are cut beside it.
        grid = marks[axis.name].view(axis.full.heads, axis.full.width)
        kept = torch.from_numpy(found["score"][2, units] != CUT).view_as(grid)
        for head in kept.any(dim=1).nonzero().flatten().tolist():
            assert grid[head][kept[head]].min() > grid[head][~kept[head]].max()


def test_sparsity_is_the_staircase_of_the_probabilities_over_the_ranks(tmp_path: Path) -> None:
    net = supernet("plain")
    marks = mark(net)
    axes, p = net.backbone.axes, net.probabilities()
    trace = Trace(axes, 1)
    trace.take(net, 0, 0.9)
    write(tmp_path, axes, trace.state())
    codes, start = arrays(tmp_path)["sparsity"][0], 0
    for axis in axes:
        grid = marks[axis.name].view(axis.full.heads, axis.full.width)
        rank_H, rank_D = (-grid.sum(dim=1)).argsort().argsort(), (-grid).argsort(dim=1).argsort(dim=1)
        stairs = torch.zeros_like(grid)
        for i, heads in enumerate(axis.head_choices):
            for j, width in enumerate(axis.width_choices):
                stairs += p[axis.name][i, j].detach() * (rank_H[:, None] < heads) * (rank_D < width)
        found = codes[start : (start := start + axis.full.units)]
        assert found == pytest.approx(UNIT_SCALE * stairs.flatten().numpy(), abs=0.51), axis.name


def test_probabilities_stand_at_the_candidates_of_the_dense_network(tmp_path: Path) -> None:
    net = supernet("plain")
    trace = Trace(net.backbone.axes, 1)
    before = {name: p.detach() for name, p in net.probabilities().items()}
    trace.take(net, 0, 0.9)
    name = "blocks.1.attn"
    alive = torch.zeros_like(net.undecided[name].alive_IJ)
    alive[1, 2] = True
    axis = net.backbone.axis(name)
    pruned = prune(net, make_search_optimizer(net, SearchSpec(), 10), {name: alive}, 0.5)
    trace.cut(pruned.keeps)
    trace.take(pruned.net, 1, 0.5)
    write(tmp_path, net.backbone.axes, trace.state())
    found = arrays(tmp_path)
    number = [axis.name for axis in net.backbone.axes].index(name)
    mine = found["candidate_axis"] == number
    sizes = list(zip(found["candidate_heads"][mine].tolist(), found["candidate_width"][mine].tolist(), strict=True))
    assert sizes == [tuple(size) for size in axis.candidates]
    assert found["p"][0, mine] == pytest.approx(before[name].flatten().numpy(), abs=1e-3)
    assert [size for size, p in zip(sizes, found["p"][1, mine], strict=True) if p] == [
        (axis.head_choices[1], axis.width_choices[2])
    ]
    assert found["decided"].tolist() == [1 if each == number else -1 for each in range(len(net.backbone.axes))]


@pytest.mark.parametrize(("epochs", "rows"), [(0, 1), (1, 2), (7, 8), (50, 51), (120, 51), (300, 51)])
def test_snapshots_are_few_and_hold_both_ends(epochs: int, rows: int) -> None:
    net = supernet("plain")
    trace = Trace(net.backbone.axes, epochs)
    for epoch in range(epochs + 1):
        trace.take(net, epoch, 0.5)
    trace.take(net, epochs, 0.25)  # the projection at the end replaces the last one
    state = trace.state()
    assert len(state["epoch"]) == rows
    assert (state["epoch"][0], state["epoch"][-1], state["lam"][-1]) == (0, epochs, 0.25)
    gaps = np.diff(state["epoch"])
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


class Killed(Exception):
    """Stands for a kill: nothing of the trial goes on."""


def until(phase: str, epoch: int) -> Any:
    def report(facts: dict[str, Any]) -> None:
        if (facts["phase"], facts["epoch"]) == (phase, epoch):
            raise Killed

    return report


SPEC = small_spec(dense={"epochs": 1}, search={"epochs": 4, "alpha_travel": 30.0}, finetune={"epochs": 2})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trial that nobody interrupted, its search kept."""
    folder = tmp_path_factory.mktemp("whole")
    run_trial(SPEC, lambda _: None, folder / "trial", shared=folder / "shared", keep_search=True)
    return folder


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("phase", "epoch"), [("search", 2), ("search", 4), ("finetune", 1)])
def test_a_killed_and_resumed_search_leaves_the_same_trace(whole: Path, tmp_path: Path, phase: str, epoch: int) -> None:
    with pytest.raises(Killed):
        run_trial(SPEC, until(phase, epoch), tmp_path, shared=whole / "shared")
    assert (tmp_path / TRACE_FILE).exists() == (phase == "finetune")
    if phase == "finetune":  # the file is written once: the checkpoint has dropped it
        assert "trace" not in torch.load(tmp_path / STATE_FILE, weights_only=True)["values"]
    run_trial(SPEC, lambda _: None, tmp_path, shared=whole / "shared")
    assert same(arrays(tmp_path), arrays(whole / "trial"))


def test_a_trial_that_takes_over_a_kept_search_has_its_trace(whole: Path, tmp_path: Path) -> None:
    longer = SPEC.model_copy(update={"finetune": SPEC.finetune.model_copy(update={"epochs": 3})})
    run_trial(longer, lambda _: None, tmp_path, shared=whole / "shared", keep_search=True)
    assert same(arrays(tmp_path), arrays(whole / "trial"))


def test_the_trace_tells_what_the_record_says(whole: Path) -> None:
    record, found = read_record(whole / "trial"), arrays(whole / "trial")
    assert record is not None
    assert record.arch is not None
    assert (found["decided"] >= 0).all()
    search = SPEC.search
    begun = [min(1.0, epoch / search.epochs / search.mask_warmup) for epoch in found["epoch"].tolist()]
    falling = [search.lambda_start + (search.lambda_end - search.lambda_start) * share for share in begun]
    assert found["lam"] == pytest.approx(falling)
    start = 0
    for number, name in enumerate(found["axis"].tolist()):
        size = record.arch["widths"][name]
        units = slice(start, start := start + int(found["heads"][number] * found["width"][number]))
        assert (found["score"][-1, units] != CUT).sum() == size["heads"] * size["width"]
        living = (found["score"][:, units] != CUT).astype(int)
        assert (np.diff(living, axis=0) <= 0).all()  # what is cut stays cut
    assert found["p"][:, found["candidate_axis"] == 0].sum(axis=1) == pytest.approx(1.0, abs=2e-3)
    assert (whole / "trial" / TRACE_FILE).stat().st_size < 50_000


def test_a_store_has_the_trace_before_the_checkpoint_that_dropped_it_and_before_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    uri = f"file://{tmp_path}/store"
    folder = trial_folder(local_copy(uri), 0)
    with attempt(folder, lambda _: None, uri=uri, dense_key=SPEC.dense_key) as files:
        for name in ("record.json", "arch.json", "model.safetensors", TRACE_FILE, STATE_FILE):
            (folder / name).write_bytes(b"x")
        sent: list[str] = []
        monkeypatch.setattr(Remote, "upload", lambda _self, _folder, names: sent.extend(names))
        files.saved(now=True)
    assert [name.rpartition("/")[2] for name in sent] == [
        TRACE_FILE,
        STATE_FILE,
        "model.safetensors",
        "arch.json",
        "record.json",
    ]
