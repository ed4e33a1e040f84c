"""Time networks of random sizes against the dense one, and fit the tables that tell their times."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ofb_ray.backbones.base import Backbone, resize
from ofb_ray.config.latency import LatencySpec
from ofb_ray.errors import InputError
from ofb_ray.export.timing import check_backend, make_call, run_interleaved
from ofb_ray.latency.design import checks, probes
from ofb_ray.latency.fit import errors, fit
from ofb_ray.method.axis import Widths
from ofb_ray.method.cost import Table

# Networks that tables are fitted to, and those that tell how good they are; at least so many of both.
PROBES, CHECKS = 48, 12
_LEAST = 12
# Networks that take turns with the dense one.
_TOGETHER = 5
Show = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What a measurement found.

    Args:
        tables: nanoseconds of a pass, on the candidates of the backbone.
        dense_seconds: of a pass of the dense network, the median.
        networks: that the tables were fitted to.
        errors: relative, on networks that they were not fitted to.
        seconds: that it took.
    """

    tables: tuple[Table, ...]
    dense_seconds: float
    networks: int
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
    its own run, so that a machine that is slower for a while does no harm.

    Args:
        net: dense, on the CPU, with any weights; it stays as it is.
        spec: how, and how long at most; warming up the last group may come on top.
        image: C, height, width.
        show: told what is done.
    Raises:
        InputError: the device or the backend is not there.
    """
    begin = time.monotonic()
    with prepared(spec) as device:
        wanted = [*probes(backbone, PROBES), *checks(backbone, CHECKS)]
        order = _alternating(PROBES, CHECKS)
        ratios: dict[int, float] = {}
        dense: list[float] = []
        while len(ratios) < len(order):
            part = order[len(ratios) : len(ratios) + _TOGETHER]
            spent = time.monotonic() - begin
            if ratios and len(ratios) >= _LEAST and spent + spent / len(ratios) * len(part) > spec.seconds:
                break
            rest = "" if not ratios else f", {min(spec.seconds, spent / len(ratios) * len(order)) - spent:.0f} s left"
            show(f"measuring latency: {len(ratios)} of {len(order)} networks{rest}")
            share = spec.seconds * len(part) / len(order) / 2
            times = run_turns(net, backbone, [wanted[place] for place in part], spec, image, device, share)
            dense.append(float(np.median(times[0])))
            ratios |= {place: float(np.median(own / times[0])) for place, own in zip(part, times[1:], strict=True)}
    seconds = float(np.median(dense))
    learned = [place for place in ratios if place < PROBES]
    held = [place for place in ratios if place >= PROBES]
    networks = [backbone.widths, *(wanted[place] for place in learned)]
    tables = fit(backbone, networks, [seconds, *(seconds * ratios[place] for place in learned)])
    off = errors(tables, [wanted[place] for place in held], [seconds * ratios[place] for place in held])
    return Known(tables, seconds, len(networks), tuple(off.tolist()), time.monotonic() - begin)


def run_turns(
    net: nn.Module,
    backbone: Backbone,
    sizes: Sequence[Widths],
    spec: LatencySpec,
    image: Sequence[int],
    device: torch.device,
    cap_seconds: float,
) -> list[np.ndarray]:
    """Time the dense network and some of its sizes in turns; seconds a round of each, the dense one first."""
    precision = torch.bfloat16 if spec.precision == "bfloat16" else torch.float32
    networks = [net, *(resize(net, backbone, widths) for widths in sizes)]
    images = torch.randn(spec.batch, *image, generator=torch.Generator().manual_seed(0)).to(device, precision)
    calls = {}
    for place, each in enumerate(networks):
        moved = (each if place else copy.deepcopy(each)).to(device, precision).eval()
        calls[str(place)] = make_call(moved, images, spec.backend)
    times = run_interleaved(calls, cap_seconds=cap_seconds)
    torch.compiler.reset()
    return [times[str(place)].seconds for place in range(len(networks))]


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
