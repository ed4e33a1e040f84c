"""The heart stays small: the paper's method, the supernet and its cuts, in lines of code."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import ofb_ray

PACKAGE = Path(ofb_ray.__file__).parent
HEART = (*sorted((PACKAGE / "method").glob("*.py")), PACKAGE / "search/supernet.py", PACKAGE / "search/pruning.py")
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_of_code(source: str) -> int:
    """Lines that hold code: docstrings, comments and blank lines apart."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for each in tokens if each.type not in _LAYOUT for line in range(each.start[0], each.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return len(lines)


def test_docstrings_comments_and_blanks_do_not_count() -> None:
    assert lines_of_code('"""A module\n\nof two."""\n\n# why\nx = [\n    1,\n]  # y\n') == 3
    assert lines_of_code('def f():\n    """What."""\n    return """a\nb"""\n') == 3


def test_the_heart_has_at_most_700_lines() -> None:
    assert len(HEART) > 8
    assert sum(lines_of_code(path.read_text()) for path in HEART) <= 700
