"""What the pages name exists: links, files, functions, commands with their flags, make targets."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.tools.command_line import parser_of
from docs.tools.pages import MAINS, PARTS
from tests.test_layers import LAYERS

ROOT = Path(__file__).parent.parent.parent
SITE = ROOT / "docs"
PAGES = sorted(path for path in SITE.rglob("*.md") if path.name != "log.md")
ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = [path.relative_to(ROOT).as_posix() for path in ALL]


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The arguments of every call of a program in the fenced blocks of a page."""
    for block in FENCED.findall(text):
        for line in block.splitlines():
            start = line.removeprefix("$ ").strip()
            if start.startswith(f"{program} "):
                yield shlex.split(start.removeprefix(program), comments=True)


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or what it says of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            continue
        if found is None:
            continue
        target: object = importlib.import_module(module)
        for part in parts[count:]:
            if not hasattr(target, part):
                return False
            target = getattr(target, part)
        return True
    return False


def test_the_readme_fits_on_a_screen_and_a_half() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 130
    assert max(len(line) for line in lines) <= 120


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_outside_of_the_site_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_functions_that_a_page_names_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    named = {
        *re.findall(r"`((?:ofb_ray|analysis|benchmarks)(?:\.\w+)+)`", text),
        *re.findall(r"^::: (\S+)", text, re.M),
    }
    assert [each for each in sorted(named) if not resolves(each)] == []


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_project_that_a_page_names_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    named = set(re.findall(r"(?<![\w/])((?:ofb_ray|analysis|tests|sweeps|benchmarks|docs)/[\w./-]+)(?![\w<{*])", text))
    assert [each for each in sorted(named) if not (ROOT / each.rstrip(".")).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_a_page_shows_are_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / name).read_text()
    for main in MAINS:
        parser = parser_of(main)
        for arguments in commands(text, parser.prog):
            if arguments[-1:] != ["--version"]:
                parser.parse_args(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_and_modules_that_a_page_shows_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    makefile = (ROOT / "Makefile").read_text()
    tables = (re.search(r"^TABLES := (.*)$", makefile, re.M) or [""])[0].split()[2:]
    targets = {*re.findall(r"^([\w-]+):", makefile, re.M), *(f"table-{table}" for table in tables)}
    for arguments in commands(text, "make"):
        assert {each for each in arguments if "=" not in each} <= targets
    for module in set(re.findall(r"python -m ((?:analysis|benchmarks|ofb_ray|docs)[\w.]*)", text)):
        assert importlib.util.find_spec(module.rstrip(".")) is not None, module


def test_every_page_is_in_the_navigation_and_every_part_from_the_code_in_a_page() -> None:
    shown = yaml.safe_load(
        re.sub(r"^markdown_extensions:.*?(?=^validation)", "", (ROOT / "mkdocs.yml").read_text(), flags=re.M | re.S)
    )
    names = set(re.findall(r"[\w/-]+\.md", str(shown["nav"])))
    assert {path.relative_to(SITE).as_posix() for path in SITE.rglob("*.md")} <= names
    text = "".join(path.read_text() for path in PAGES)
    assert [part for part in PARTS if text.count(part) != 1] == []


def test_contributing_shows_the_layers_that_are_tested() -> None:
    block = FENCED.findall((ROOT / "CONTRIBUTING.md").read_text().partition("## Layers")[2])[0]
    shown = [set(line.split()) for line in block.splitlines()]
    tested = [{room.removeprefix("ofb_ray.") for room in rooms} for rooms in LAYERS]
    assert shown == [rooms for rooms in tested if rooms != {"__main__"}]
