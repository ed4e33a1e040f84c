"""Adapt the weight of the budget loss."""

from __future__ import annotations

from dataclasses import dataclass

# The weight may reach a thousand times its start in half the search, whatever the number of epochs.
_RANGE = 1000.0
_DECAY = 1.1
_TOLERANCE = 0.01


@dataclass
class BudgetWeight:
    """The weight w_b: grows while the expected cost misses the aim by more than 1 %, else falls towards its start.

    Args:
        start: the weight of the spec.
        value: the current weight, in [start, 1000 start].
        points: how often `steer` will be called over the search.
    """

    start: float
    value: float
    points: int

    def steer(self, gap: float) -> None:
        """Adapt the weight to the relative gap, expected cost / aim - 1."""
        growth = _RANGE ** (2 / max(2, self.points))
        wanted = self.value * growth if abs(gap) > _TOLERANCE else self.value / _DECAY
        self.value = min(max(wanted, self.start), _RANGE * self.start)
