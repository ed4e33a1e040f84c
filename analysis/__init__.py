"""Fronts, figures and tables from the records of finished trials. Imports neither torch nor Ray.

For notebooks: `frame` is one row a trial, `read` what every function takes that draws on an Axes, such as
`front(read(["results/digits"]), axes)` of `analysis.figures`.
"""

from __future__ import annotations

from analysis.load import Results, Trial, frame, read, records, table

__all__ = ["Results", "Trial", "frame", "read", "records", "table"]
