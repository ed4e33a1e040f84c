"""What MkDocs calls while it builds the site: made pages, the notebook as a page, equations as MathML."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

from docs.tools.pages import PARTS

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = "tutorials/library.ipynb"
# Pages that are files of the project, by their place on the site.
INCLUDED = {"contributing/index.md": "CONTRIBUTING.md"}
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in the folder of the site."""
    for place, name in INCLUDED.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](../")
        files.append(File.generated(config, place, content=text))
    notebook = files.get_file_from_path(NOTEBOOK)
    if notebook is not None:
        _add_notebook(notebook, files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made from the code."""
    for mark, make in PARTS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn equations into MathML, which browsers draw without a script."""
    return _EQUATION.sub(_mathml, html)


def _mathml(found: re.Match[str]) -> str:
    latex = found[2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return str(convert(latex, display="block" if found[1] == "div" else "inline"))


def _add_notebook(notebook: File, files: Files, config: MkDocsConfig) -> None:
    """Add the notebook as a page of the same name, its figures beside it."""
    exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
    node = nbformat.reads(notebook.content_string, as_version=4)  # type: ignore[no-untyped-call]
    text, resources = exporter.from_notebook_node(node)
    text = text.replace('<table border="1" class="dataframe">', "<table>")  # styled like the others
    page = NOTEBOOK.replace(".ipynb", ".md")
    for name, data in resources["outputs"].items():
        files.append(File.generated(config, f"tutorials/library_files/{name}", content=data))
        text = text.replace(f"]({name})", f"](library_files/{name})")
    files.append(File.generated(config, page, content=text))
