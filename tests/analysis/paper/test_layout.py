"""Markdown, LaTeX and CSV of a paper's table say the same."""

from __future__ import annotations

from analysis.fronts.seeds import Spread
from analysis.paper.layout import Column, Footnote, PaperTable, as_csv, latex, markdown

TABLE = PaperTable(
    "t",
    "50 % of A & B",
    (Column("name", "a_name"), Column("x", "x", "points", "ours"), Column("n", "n", "whole", "ours")),
    ((("one | two", Spread(97.125, 0.25, 3), 3),), ((Footnote("o/r@1:a_b.md", "head"), 75.0, None),)),
    1,
)


def test_markdown_latex_and_csv_say_the_same() -> None:
    assert markdown(TABLE).splitlines()[2:6] == [
        "| a_name | ours x | ours n |",
        "| --- | ---: | ---: |",
        "| one \\| two | 97.12 ± 0.25 | 3 |",
        "| head [1] | 75.0 |  |",
    ]
    assert as_csv(TABLE).splitlines() == [
        "name,x,x_deviation,n",
        "one | two,97.125,0.25,3",
        "head: o/r@1:a_b.md,75.0,,",
    ]
    text = latex(TABLE)
    assert "a\\_name & x & n \\\\" in text
    assert "one | two & 97.12 $\\pm$ 0.25 & 3 \\\\\n\\midrule\nhead [1] & 75.0 &  \\\\" in text
    assert "\\multicolumn{2}{c}{ours}" in text
    assert "\\cmidrule(lr){2-3}" in text
    assert "50 \\% of A \\& B" in text
