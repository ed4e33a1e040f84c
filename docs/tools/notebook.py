"""Make the notebook of the tutorials from its script and execute it.

    python -m docs.tools.notebook

`docs/tutorials/library.py` is the source, in jupytext's percent format; the notebook beside it holds the outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

SCRIPT = Path(__file__).parent.parent / "tutorials" / "library.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
_SECONDS = 600


def from_script() -> Any:
    """The notebook without outputs, its cells numbered, so that it is the same whenever it is made."""
    notebook = jupytext.read(SCRIPT)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def executed(folder: Path) -> Any:
    """The notebook with its outputs, executed in a folder.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = from_script()
    runner = ExecutePreprocessor(timeout=_SECONDS, kernel_name="python3")  # type: ignore[no-untyped-call]
    runner.preprocess(notebook, {"metadata": {"path": str(folder)}})
    for cell in notebook.cells:
        cell["metadata"].pop("execution", None)  # times of this run
        if "outputs" in cell:  # warnings name paths of this machine
            cell["outputs"] = [each for each in cell["outputs"] if each.get("name") != "stderr"]
    return notebook


def main() -> int:
    """Write the executed notebook; returns the exit code."""
    nbformat.write(executed(SCRIPT.parent), NOTEBOOK)  # type: ignore[no-untyped-call]
    return 0


if __name__ == "__main__":
    sys.exit(main())
