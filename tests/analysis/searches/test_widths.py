"""Widths stand beside those of the dense network, whatever the family."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.searches import widths
from analysis.searches.sentences import kept, title_of
from analysis.trials.read import read
from analysis.trials.trial import Trial
from tests.analysis.factory import record, searched, text_of, write


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


def test_the_widths_of_a_chain_stand_beside_the_dense_network_s() -> None:
    """A later budget's search starts from what the budget above has left: its events do not know the dense sizes."""
    made = searched()
    alone = widths.subnet_of(made)
    assert alone is not None
    row = widths.subnet_of(made.model_copy(update={"dense_widths": {**alone.dense, "embed": (1, 96)}}))
    assert row is not None
    assert (row.dense["embed"], row.sizes["embed"]) == ((1, 96), (1, 48))
    assert widths.panels(row)["embedding"] == [widths.Cell(0, 4, 48, 96)]


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
    assert "12 of 30" in text_of(figure)


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


def test_a_trial_of_a_chain_is_named_with_the_budget_that_it_comes_from() -> None:
    made = searched()
    alone = Trial(Path(), 7, "finished", made, budget="0.5")
    assert title_of(alone) == "#7 (budget 0.5)"
    chain = {"chain": {"above": [{"macs_ratio": 0.75}, {"macs_ratio": 0.6}], "epochs": 2}}
    link = Trial(Path(), 7, "finished", made.model_copy(update={"spec": made.spec | chain}), budget="0.5")
    assert title_of(link) == "#7 (budget 0.5 from 0.6)"
