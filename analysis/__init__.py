"""Make fronts, figures and tables from the records of finished trials. Imports neither torch nor Ray.

For notebooks: `frame` is one row a trial, `read` what every function takes that draws on an Axes, such as
`front(read(["results/digits"]), axes)` of `analysis.figures`.

The rooms, from the lowest: `trials` (read results folders), `fronts` (objectives, seeds, budgets, volume), `paper`
(published numbers beside one's own), `drawing` (marks and labels), `searches` and `gates` (what one search, what an
early stop did), `output` (files and text), `figures` and `report`, and the commands.
"""

from __future__ import annotations

from analysis.trials.read import read, records
from analysis.trials.table import frame, table
from analysis.trials.trial import Results, Trial

__all__ = ["Results", "Trial", "frame", "read", "records", "table"]
