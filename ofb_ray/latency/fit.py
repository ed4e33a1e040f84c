"""Tables of latency from the times of whole networks: non-negative least squares on what hardware may feel.

The time of a network is a sum over its axes and pairs of axes. Each is a sum of products of features of a size: its
units, its heads, and both padded to the multiples that vector units and kernels work in. A feature that no time asks
for gets weight 0, so that steps in width fall out of the times and are no rule. Shape suffixes: N networks, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ofb_ray.backbones.base import Backbone
from ofb_ray.latency.design import groups, partners
from ofb_ray.method.axis import Axis, Width, Widths
from ofb_ray.method.cost import Table, cost, units_of

Floats = NDArray[np.float64]
_MULTIPLES = (1, 8, 16, 32, 64)
_DENSE_COUNTS = 10.0
_ROUNDS, _NOTHING = 10, 1e-10


def _features(axis: Axis, size: Width) -> Floats:
    """What of a size of an axis its time may follow: padded units, and of heads their number and padding."""
    found = [float(_padded(size.units, multiple)) for multiple in _MULTIPLES]
    if axis.head_choices[-1] > 1:
        found += [float(size.heads), *(float(size.heads * _padded(size.width, each)) for each in _MULTIPLES[1:])]
    return np.array(found)


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _products(first_KF: Floats, second_KF: Floats) -> Floats:
    """Products of the features of two axes, (K, products): equal paddings of units, and units with heads."""
    units = first_KF[:, : len(_MULTIPLES)] * second_KF[:, : len(_MULTIPLES)]
    return np.concatenate([units, first_KF[:, :1] * second_KF[:, len(_MULTIPLES) :]], axis=1)


class Model:
    """The features of a backbone's networks: a constant, those of each group of axes, those of each pair of groups.

    Args:
        backbone: whose sizes cost.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._pairs = backbone, partners(backbone)
        self._places = {axis.name: place for place, axes in enumerate(groups(backbone)) for axis in axes}
        self._known = {axis.name: {size: _features(axis, size) for size in axis.candidates} for axis in backbone.axes}
        self._weights: dict[tuple[int, ...], slice] = {}
        start = 1
        smallest = {axis.name: axis.candidates[0] for axis in backbone.axes}
        for key, values in self._parts(smallest):
            if key not in self._weights:
                self._weights[key] = slice(start, start + len(values))
                start += len(values)
        self._count = start

    def _parts(self, widths: Widths) -> Iterator[tuple[tuple[int, ...], Floats]]:
        own = {name: known[widths[name]] for name, known in self._known.items()}
        for name, values in own.items():
            yield (self._places[name],), values
        for a, b in self._pairs:
            yield (self._places[a], self._places[b]), _products(own[a][None], own[b][None])[0]

    def rows(self, networks: Sequence[Widths]) -> Floats:
        """Give the features (N, F) of networks; the first one is 1."""
        values_NF = np.zeros((len(networks), self._count))
        values_NF[:, 0] = 1.0
        for row, widths in enumerate(networks):
            for key, values in self._parts(widths):
                values_NF[row, self._weights[key]] += values
        return values_NF

    def tables(self, weight_F: Floats) -> tuple[Table, ...]:
        """Write weights as tables on the candidates: a constant, one for each axis, one for each pair."""
        sizes = {axis.name: tuple(axis.candidates) for axis in self._backbone.axes}
        values = {name: np.array([self._known[name][size] for size in each]) for name, each in sizes.items()}
        found = [Table((), (), np.array(round(weight_F[0])))]
        for name, value_KF in values.items():
            single = value_KF @ weight_F[self._weights[(self._places[name],)]]
            found.append(Table((name,), (sizes[name],), _whole(single)))
        for a, b in self._pairs:
            weights = weight_F[self._weights[self._places[a], self._places[b]]]
            pair = [_products(np.repeat(row[None], len(values[b]), axis=0), values[b]) @ weights for row in values[a]]
            found.append(Table((a, b), (sizes[a], sizes[b]), _whole(np.stack(pair))))
        return tuple(found)


def _whole(values: Floats) -> NDArray[np.int64]:
    return np.rint(values).astype(np.int64)


def fit(backbone: Backbone, networks: Sequence[Widths], seconds: Sequence[float]) -> tuple[Table, ...]:
    """Find the tables, in nanoseconds, that tell the times of networks best; relative errors count.

    Args:
        backbone: of which the networks are sizes.
        networks: those that were timed, the dense one first: as budgets are shares of its time, it counts tenfold.
        seconds: of each.
    """
    model = Model(backbone)
    target_N = 1e9 * np.asarray(seconds, dtype=np.float64)
    count_N = np.ones(len(target_N))
    count_N[0] = _DENSE_COUNTS
    values_NF = model.rows(networks) / target_N[:, None]
    return model.tables(nonnegative(values_NF * np.sqrt(count_N)[:, None], np.sqrt(count_N)))


def nonnegative(values_NF: Floats, target_N: Floats) -> Floats:
    """Solve min ||values w - target|| over w >= 0, (F,), by active sets (Lawson and Hanson 1974, algorithm NNLS)."""
    scale_F = np.linalg.norm(values_NF, axis=0)
    scale_F[scale_F == 0.0] = 1.0
    scaled_NF = values_NF / scale_F
    weight_F, passive_F = np.zeros(len(scale_F)), np.zeros(len(scale_F), dtype=bool)
    for _ in range(_ROUNDS * len(scale_F)):
        slope_F = scaled_NF.T @ (target_N - scaled_NF @ weight_F)
        slope_F[passive_F] = -np.inf
        if slope_F.max() <= _NOTHING:
            break
        passive_F[slope_F.argmax()] = True
        while True:
            wanted_F = np.zeros_like(weight_F)
            wanted_F[passive_F] = np.linalg.lstsq(scaled_NF[:, passive_F], target_N, rcond=None)[0]
            below_F = passive_F & (wanted_F <= 0.0)
            if not below_F.any():
                weight_F = wanted_F
                break
            # As far towards the wanted weights as all stay above 0.
            step = (weight_F[below_F] / (weight_F[below_F] - wanted_F[below_F])).min()
            weight_F = weight_F + step * (wanted_F - weight_F)
            passive_F &= weight_F > _NOTHING
            weight_F[~passive_F] = 0.0
    found: Floats = weight_F / scale_F
    return found


def errors(tables: tuple[Table, ...], networks: Sequence[Widths], seconds: Sequence[float]) -> Floats:
    """Give the relative errors (N,) of tables on networks that were timed."""
    told = np.array([cost(tables, units_of(widths)) for widths in networks], dtype=np.float64)
    off: Floats = told / (1e9 * np.asarray(seconds)) - 1.0
    return off
