"""What Optuna must not choose for a trial: its cell, the sweep file's own values, a point, a point of the grid."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ofb_ray.config import Json, SweepSpec
from ofb_ray.config.space import collect, expand_all, grid_points, inside, suggestion_order, value_at
from ofb_ray.results.cells import cell_key
from ofb_ray.results.files import TrialFile
from ofb_ray.results.index import Cell, TrialIndex
from ofb_ray.tuning.optuna.distributions import CELL, as_choice


class Given:
    """Know the values of a trial that are fixed before the sampler is asked.

    Args:
        index: the sweep's trials.
    """

    def __init__(self, index: TrialIndex) -> None:
        self.index = index
        self._order = list(suggestion_order(index.spec.parameters))
        self._points: dict[str, Iterator[Json]] = {}

    @property
    def spec(self) -> SweepSpec:
        return self.index.spec

    def fixed(self, cell: Cell, above: TrialFile | None = None) -> Json:
        """Return the fixed values of the next trial of a cell, as Optuna enqueues them.

        Args:
            above: the trial that it follows in its chain, whose values it has.
        """
        values = self._values(cell) if above is None else collect(above.params, self._order)
        return {CELL: cell.label} | {key: as_choice(value) for key, value in values.items()}

    def drawn(self, label: str) -> int:
        """Count the trials with this label that were suggested before the last one, seeds taken together."""
        given = 1 + len(self.spec.points)
        return max(0, sum(max(0, cell.count - given) for cell in self.index.cells(label)) - 1)

    def _values(self, cell: Cell) -> Json:
        spec = self.spec
        if spec.sampler.name == "grid":
            return next(self._untried(cell))
        if cell.count == 0:
            first = spec.trial(cell.values, {})
            # What the file leaves to the recipe has a value, too.
            tree = first.model_copy(update={"search": first.search.effective}).model_dump(mode="json")
            own = {key: value_at(tree, key) for key in self._order}
            return {key: value for key, value in own.items() if inside(spec.parameters[key], value)}
        return spec.points[cell.count - 1] if cell.count <= len(spec.points) else {}

    def _untried(self, cell: Cell) -> Iterator[Json]:
        """Return the points of the grid that no trial of the cell has; each is given once."""
        if not self._points:
            tried = {(cell_key(trial.cell), _text(trial.params)) for trial in self.index.suggested}
            for key in {each.key for label in self.index.labels for each in self.index.cells(label)}:
                points = grid_points(self.spec.parameters, self.index.cell(key).values)
                self._points[key] = iter([point for point in points if (key, _text(expand_all(point))) not in tried])
        return self._points[cell.key]


def _text(params: Json) -> str:
    """Return a text that is equal for equal explored values, of a grid's point or of a trial.json."""
    return json.dumps(params, sort_keys=True)
