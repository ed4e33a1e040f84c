"""Time networks of random sizes against the dense one, and fit the tables that tell their times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.config.latency import LatencySpec
from ofb_ray.errors import InputError
from ofb_ray.export.timing import check_backend
from ofb_ray.latency.design import checks, probes
from ofb_ray.latency.fit import errors, fit
from ofb_ray.latency.turns import Show, Timed, time_all
from ofb_ray.method.cost import Table

# Networks that tables are fitted to, and those that tell how good they are; at least so many of both.
PROBES, CHECKS = 48, 12
_LEAST = 12


@dataclass(frozen=True)
class Known:
    """What a measurement found.

    Args:
        tables: nanoseconds of a pass, on the candidates of the backbone.
        dense_seconds: of a pass of the dense network on the quiet machine.
        networks: that the tables were fitted to.
        repeated: runs that were made again, as the machine was busy.
        errors: relative, on networks that they were not fitted to.
        seconds: that it took.
    """

    tables: tuple[Table, ...]
    dense_seconds: float
    networks: int
    repeated: int
    errors: tuple[float, ...]
    seconds: float

    @property
    def typical_error(self) -> float:
        """The median of the absolute errors."""
        return float(np.median(np.abs(self.errors)))

    @property
    def large_error(self) -> float:
        """What 90 % of the absolute errors stay below."""
        return float(np.quantile(np.abs(self.errors), 0.9))


def measure(net: nn.Module, backbone: Backbone, spec: LatencySpec, image: Sequence[int], show: Show) -> Known:
    """Measure the latency of a network's sizes.

    Networks are timed in groups, the dense one among each, in turns; a network's time is its ratio to the dense one of
    its own run, so that a machine that is slower for a while does no harm, and runs that other work disturbed are made
    again while there is time.

    Args:
        net: dense, on the CPU, with any weights; it stays as it is.
        spec: how, and how long at most; warming up the last group may come on top.
        image: C, height, width.
        show: told what is done.
    Raises:
        InputError: the device or the backend is not there.
    """
    begin = time.monotonic()
    wanted = [*probes(backbone, PROBES), *checks(backbone, CHECKS)]
    order = _alternating(PROBES, CHECKS)
    sizes = [wanted[place] for place in order]
    with prepared(spec) as device:
        timed = time_all(net, backbone, sizes, spec, image, device, least=_LEAST, show=show)
    learned, held = _trusted(timed, order)
    seconds = timed.dense_seconds
    networks = [backbone.widths, *(sizes[at] for at in learned)]
    tables = fit(backbone, networks, [seconds, *(seconds * timed.ratios[at] for at in learned)])
    off = errors(tables, [sizes[at] for at in held], [seconds * timed.ratios[at] for at in held])
    return Known(tables, seconds, len(networks), timed.repeated, tuple(off.tolist()), time.monotonic() - begin)


def _trusted(timed: Timed, order: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which networks tables are fitted to, and which judge them: those of quiet runs, all if these are few."""
    every = sorted(timed.ratios)
    quiet = [at for at in every if at not in timed.disturbed]
    for some in (quiet, every):
        learned, held = [at for at in some if order[at] < PROBES], [at for at in some if order[at] >= PROBES]
        if 2 * len(some) >= len(every) and held:
            break
    return learned, held


@contextmanager
def prepared(spec: LatencySpec) -> Iterator[torch.device]:
    """Have the device and the threads of a spec; yields the device.

    Raises:
        InputError: one of them is not there.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no GPU here: set latency.device: cpu, or give latency.table", key="latency.device")
    device = torch.device(spec.device)
    try:
        check_backend(spec.backend, device)
    except InputError as error:
        raise InputError(error.message.replace("leave the backend out", "set another"), key="latency.backend") from None
    before = torch.get_num_threads()
    torch.set_num_threads(spec.threads)
    try:
        yield device
    finally:
        torch.set_num_threads(before)


def _alternating(first: int, second: int) -> list[int]:
    """The places of `first` + `second` networks, those of the second kind spread among the others."""
    every = first // second
    return [
        place
        for at in range(first)
        for place in ([at, first + at // every] if at % every == every - 1 and at // every < second else [at])
    ]
