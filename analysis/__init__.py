"""Make fronts, figures and tables from the records of finished trials. Imports neither torch nor Ray.

For notebooks: `frame` is one row a trial, `read` what every function takes that draws on an Axes, such as
`front(read("results/digits"), axes)` of `analysis.figures`. Both take one results folder or a list of them.

The rooms, from the lowest: `trials` (read results folders), `fronts` (objectives, seeds, budgets, volume), `paper`
(published numbers beside one's own), `drawing` (marks and labels), `searches` and `gates` (what one search, what an
early stop did), `output` (files and text), `figures` and `report`, and the commands.

Importing this package loads no pandas; what it offers is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofb_ray import lazily

if TYPE_CHECKING:
    from analysis.trials.read import read, records
    from analysis.trials.table import frame, table
    from analysis.trials.trial import Results, Trial

__all__ = ["Results", "Trial", "frame", "read", "records", "table"]

_OFFERED = {
    "Results": "analysis.trials.trial",
    "Trial": "analysis.trials.trial",
    "frame": "analysis.trials.table",
    "read": "analysis.trials.read",
    "records": "analysis.trials.read",
    "table": "analysis.trials.table",
}


__getattr__, __dir__ = lazily(__name__, _OFFERED)
