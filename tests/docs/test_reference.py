"""The reference is complete: every key and every option is described, numbers with unit and range."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from docs.tools import command_line, pages
from docs.tools.pages import FILES, MAINS, anchor
from ofb_ray.config import SweepSpec, TrialSpec
from ofb_ray.config.base import unit
from ofb_ray.config.describe import faults, keys, sections
from ofb_ray.results import files as results_files
from ofb_ray.results.files import JsonFile


class Inner(BaseModel):
    described: float = Field(0.5, gt=0, le=1, json_schema_extra=unit("share"), description="Part of the whole.")
    planted: float = 1.0


class Planted(BaseModel):
    mode: Literal["a", "b"] = Field("a", description="One of two.")
    inner: tuple[Inner, ...] = Field((), description="Many.")
    count: int | None = Field(None, description="A number without unit and range.")
    table: dict[str, Inner] = Field(default_factory=dict, description="By name.")


def test_every_key_of_a_sweep_has_a_description_and_every_number_a_unit_and_a_range() -> None:
    assert faults(SweepSpec) == []
    assert faults(TrialSpec) == []


def test_a_key_without_them_is_found_wherever_it_stands() -> None:
    missing = ["no description", "no unit", "no range"]
    assert faults(Planted) == [
        "count: no unit",
        "count: no range",
        *(f"inner[].planted: {fault}" for fault in missing),
        *(f"table.*.planted: {fault}" for fault in missing),
    ]


def test_a_key_is_shown_with_its_type_default_unit_and_range() -> None:
    shown = {key.name: key for path, model in sections(Planted) for key in keys(model, path)}
    share = shown["inner[].described"]
    assert (share.kind, share.default, share.unit, share.range) == ("number", "0.5", "share", "0 < x ≤ 1")
    assert shown["mode"].kind == "`a` or `b`"
    assert (shown["count"].kind, shown["count"].default) == ("whole number or null", "null")


def test_descriptions_change_no_key_of_a_trial() -> None:
    """The key is the identity of recorded trials: it depends on values alone."""
    assert TrialSpec.model_validate({"budget": 0.5}).key == "e87198d6f42db3e5"


@pytest.mark.parametrize("main", MAINS, ids=lambda main: main.__module__)
def test_every_command_and_option_has_a_description(main: Callable[[Sequence[str]], int]) -> None:
    assert command_line.faults(command_line.parser_of(main)) == []


def test_a_command_or_an_option_without_one_is_found() -> None:
    parser = argparse.ArgumentParser(prog="tool")
    inner = parser.add_subparsers(metavar="COMMAND")
    run = inner.add_parser("run", help="run it")
    run.add_argument("--fast")
    run.add_argument("--hidden", help=argparse.SUPPRESS)
    inner.add_parser("stop", help="")
    assert command_line.faults(parser) == ["tool run --fast FAST: no help", "tool stop: no description"]


def test_the_pages_hold_every_key_and_every_option() -> None:
    shown = pages.sweep_keys()
    for path, model in sections(SweepSpec):
        for key in keys(model, path):
            assert f"#{anchor(key.name)} }}" in shown
    lines = pages.command_lines()
    for main in MAINS:
        for command in command_line.commands(command_line.parser_of(main)):
            assert f"## {command.name}\n" in lines
            usages = [option.usage.replace("|", "\\|") for option in command.options]
            assert all(f"| `{usage}` |" in lines for usage in usages)


def test_every_json_file_of_a_results_folder_is_shown_with_its_keys() -> None:
    own = {each for each in vars(results_files).values() if isinstance(each, type) and issubclass(each, BaseModel)}
    assert own - {BaseModel, JsonFile, TrialSpec} <= set(FILES)
    missing = [f"{model.__name__}.{key.name}" for model in FILES for key in keys(model) if not key.description]
    assert missing == []
