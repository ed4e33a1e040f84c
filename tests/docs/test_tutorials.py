"""The tutorials run as they are written, from the first block to the last."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from docs.tools.notebook import NOTEBOOK, executed, from_script
from ofb_ray.results.records import read_record
from tests.cluster.nodes import wait_for
from tests.docs.tutorial import ROOT, blocks, run

TUTORIALS = ROOT / "docs" / "tutorials"


def finished(folder: Path) -> bool:
    record = read_record(folder)
    return record is not None and record.status == "finished"


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_a_block_that_is_run_has_no_hidden_part(page: Path) -> None:
    """Every fence is one that the runner knows: what a reader sees is what runs."""
    fences = len(re.findall(r"^```", page.read_text(), re.MULTILINE))
    assert 2 * len(blocks(page)) == fences
    assert {block.language for block in blocks(page)} <= {"bash", "python", "yaml", "text", "console"}


@pytest.mark.slow
def test_own_images(tmp_path: Path) -> None:
    said = run(TUTORIALS / "own-images.md", tmp_path)
    assert all(finished(tmp_path / "results" / "photos" / number) for number in ("00000", "00001"))
    assert (tmp_path / "results" / "photos" / "analysis" / "report.html").exists()
    assert re.search(r"^class \d$", said, re.MULTILINE)


@pytest.mark.slow
def test_a_pretrained_vit(tmp_path: Path) -> None:
    run(TUTORIALS / "pretrained.md", tmp_path)
    assert finished(tmp_path / "results" / "pretrained" / "00000")
    record = read_record(tmp_path / "whole")
    assert record is not None
    assert record.arch is not None
    assert record.arch["widths"]["embed"]["width"] == 48


@contextlib.contextmanager
def ended(pid_file: Path) -> Iterator[None]:
    """End the process that a tutorial started in the background, also where a block failed before that."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int(pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not alive(pid), what="the head goes on")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_a_cluster_on_loopback(tmp_path: Path) -> None:
    with ended(tmp_path / "head.pid"):
        run(TUTORIALS / "cluster.md", tmp_path)
    records = [read_record(tmp_path / "shared" / "digits" / f"{number:05d}") for number in range(4)]
    assert [record.seed for record in records if record is not None] == [0, 0, 1, 1]


def test_the_notebook_shows_the_cells_of_its_script_with_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in from_script().cells]
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code" and not _is_silent(cell.source))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)


def _is_silent(source: str) -> bool:
    """Whether a cell ends in something that prints nothing: an import, a setting, a loop."""
    last = source.rstrip().splitlines()[-1]
    return last.startswith((" ", "torch."))


@pytest.mark.slow
def test_the_notebook(tmp_path: Path) -> None:
    notebook = executed(tmp_path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.slow
def test_a_data_set_from_a_function(tmp_path: Path) -> None:
    """The example of the how-to page, in a trial."""
    shown = blocks(ROOT / "docs" / "how-to" / "data.md")
    section, code = (next(each.text for each in shown if each.language == language) for language in ("yaml", "python"))
    (tmp_path / "mydata.py").write_text(code)
    args = "{img_size: 8, patch_size: 4, in_chans: 1, embed_dim: 32, depth: 2, num_heads: 4}"
    lines = ["name: own", f"model: {{args: {args}}}", section, "dense: {epochs: 1}", "search: {epochs: 1}"]
    (tmp_path / "own.yaml").write_text("\n".join([*lines, "finetune: {epochs: 1}", "budgets: [0.5]"]))
    page = tmp_path / "page.md"
    page.write_text("```bash\nofb-ray trial own.yaml --set data.image_size=8 --set data.channels=1 --out trial\n```\n")
    run(page, tmp_path)
    assert finished(tmp_path / "trial")
