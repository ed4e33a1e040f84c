"""`ofb-ray explain`: every key is explained, by functions that read it in the code as it is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from ofb_ray.cli import main
from ofb_ray.commands.explain import WIDTH, explain, plain, read_by
from ofb_ray.commands.readers import readers
from ofb_ray.config import SweepSpec
from ofb_ray.config.describe import entries
from ofb_ray.errors import InputError

ENTRIES = {entry.key.name: entry for entry in entries(SweepSpec)}
# A mapping of the file becomes part of a trial's spec as a whole; its keys have readers of their own.
WHOLES = {"dense", "data", "finetune"}

PLANTED = """\
class Inner:
    rate: float
    other: float

class Spec:
    inner: Inner

    @property
    def effective(self) -> Inner: ...

class Holder:
    def __init__(self, spec: Spec) -> None:
        self.kept = spec

    def reads(self) -> float:
        return self.kept.inner.rate

def by_property(spec: "Spec | None") -> float:
    inner = spec.effective
    return inner.rate

def by_name(spec: Spec, name: str) -> float:
    return getattr(spec, name).rate

def in_a_loop(specs: list[Spec]) -> list[float]:
    return [each.inner.rate for each in specs]

def something_else(book: dict[str, float]) -> float:
    return book.rate
"""


def test_readers_are_found_by_annotations(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text(PLANTED)
    assert readers(tmp_path / "p")["Inner", "rate"] == ["p.Holder.reads", "p.by_property", "p.by_name", "p.in_a_loop"]
    assert ("Inner", "other") not in readers(tmp_path / "p")


@pytest.mark.parametrize("name", ENTRIES)
def test_every_key_is_explained_in_few_columns_with_functions_that_exist(name: str) -> None:
    text = explain(name)
    assert text.startswith(f"{name}\n")
    assert max(map(len, text.splitlines())) <= WIDTH
    below = [each for each in ENTRIES if plain(each).startswith(f"{plain(name)}.")]
    places = read_by(ENTRIES[name], readers())
    if name in WHOLES:
        assert below
        return
    assert places
    assert bool(below) or "read by  ofb_ray." in text
    assert not [place for place in places if place.startswith("ofb_ray.config.")]
    for place in places:
        parts = place.split(".")
        depth = next(i for i in range(len(parts) - 1, 0, -1) if _is_module(".".join(parts[:i])))
        target: object = importlib.import_module(".".join(parts[:depth]))
        for part in parts[depth:]:
            target = getattr(target, part)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_a_key_is_shown_with_type_unit_range_default_and_readers() -> None:
    assert explain("search.lr").splitlines() == [
        "search.lr",
        "  Peak learning rate of AdamW.",
        "  type     number",
        "  unit     per step",
        "  range    > 0",
        "  default  0.001",
        "  read by  ofb_ray.search.optim: make_search_optimizer",
        "           ofb_ray.train.optim: network_groups",
    ]
    assert "default  must be given" in explain("budgets")


def test_a_method_of_the_specs_passes_on_who_reads_it() -> None:
    """`start` is read by `SearchSpec.parts` alone, which knows what the recipe says."""
    assert "ofb_ray.search.calibrate.calibrate" in read_by(ENTRIES["search.start"], readers())


def test_a_prefix_lists_the_keys_below_it_with_a_sentence() -> None:
    lines = explain("resources").splitlines()
    assert "resources.workers          Processes that train one network data-parallel." in lines
    assert [line.split()[0] for line in explain("").splitlines() if line[:1].strip()][:3] == [
        "name",
        "question",
        "model",
    ]
    assert "or a mapping of" in " ".join(explain("sampler").split())
    assert "`auto` (Gaussian process; TPE where there are conditions), `gp`" in " ".join(explain("sampler").split())


@pytest.mark.parametrize("given", ["budgets[].gmacs", "budgets.gmacs", "budgets.0.gmacs"])
def test_items_of_lists_may_be_written_in_any_way(given: str) -> None:
    assert explain(given).startswith("budgets[].gmacs\n")


def test_a_key_below_parameters_is_explained_together_with_what_holds_it() -> None:
    both = explain("parameters.search.lr")
    assert both.startswith("parameters\n")
    assert "\n\nsearch.lr\n" in both
    assert explain("parameters.search.lr.min").startswith("parameters.*.min\n")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("serch.lr", "did you mean 'search.lr'?"),
        ("lr", "did you mean 'dense.lr' or 'search.lr' or 'finetune.lr'?"),
        ("parameters.search.lrr", "did you mean 'search.lr'?"),
        ("x" * 50, "`ofb-ray explain` lists them"),
    ],
)
def test_an_unknown_key_is_one_line_with_the_nearest(
    given: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError):
        explain(given)
    assert main(["explain", given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert remedy in error


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("search.epochs", r"  here     30 \(.*digits\.yaml:\d+\)"),
        ("search.min_lr", r"  here     \S+ \(the default\)"),
        (
            "search.doubt",
            r'  here     explored: \{"min": 0.1, "max": 2,.*\}\s+\(.*digits\.yaml:\d+,\s+parameters\)',
        ),
        ("budgets", r"  here     \[\{\"macs_ratio\": 0.25\}"),
    ],
)
def test_a_sweep_s_own_value_stands_below(key: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", key, "digits"]) == 0
    out = capsys.readouterr().out
    assert re.search(says, out), out
    assert all(len(line) <= WIDTH or "/" in line for line in out.splitlines())


def test_a_sweep_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "search.lr", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
