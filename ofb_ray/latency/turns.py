"""Time many networks against the dense one, a few at a time, and again what a busy machine has spoiled.

The dense network is timed in every run. It takes the same each time, so that a run in which it does not was disturbed:
other work slows a large network more than a small one, and no ratio of such a run can be trusted. As other work only
slows, the quiet time is taken to be the lower quartile of the runs.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ofb_ray.backbones.base import Backbone, resize
from ofb_ray.config.latency import LatencySpec
from ofb_ray.export.program import onnx_bytes
from ofb_ray.export.timing import make_call, run_interleaved
from ofb_ray.method.axis import Widths

# Networks that take turns with the dense one.
TOGETHER = 5
# How far the dense network's time in a run may be from its quiet time, and how often networks are timed.
QUIET, _TRIES = 0.04, 4
# Of exports that are kept, which take longer to make than to time.
_EXPORTED_BYTES = 1 << 30
Show = Callable[[str], None]
# Networks as ONNX, by their sizes.
Exported = dict[str, bytes]


@dataclass(frozen=True)
class Run:
    """Networks that took turns with the dense one.

    Args:
        places: which networks.
        dense_seconds: of a pass of the dense network, the median.
        ratios: of each network's time to the dense one's, the median of the rounds.
    """

    places: tuple[int, ...]
    dense_seconds: float
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Timed:
    """What all runs found.

    Args:
        dense_seconds: of a pass of the dense network on the quiet machine.
        ratios: of each network that was timed, by its place: from the quietest of its runs.
        disturbed: the places of those whose runs were all disturbed.
        repeated: runs that were made again.
    """

    dense_seconds: float
    ratios: dict[int, float]
    disturbed: frozenset[int]
    repeated: int


def time_all(
    net: nn.Module,
    backbone: Backbone,
    sizes: Sequence[Widths],
    spec: LatencySpec,
    image: Sequence[int],
    device: torch.device,
    *,
    least: int,
    show: Show,
) -> Timed:
    """Time networks in their order, then again those whose run was disturbed, for `spec.seconds` at most.

    Args:
        net: dense, on the CPU.
        image: C, height, width.
        least: so many are timed, however long it takes.
        show: told what is done.
    """
    begin, runs, exported = time.monotonic(), list[Run](), Exported()
    share = spec.seconds * TOGETHER / len(sizes) / 2
    for places in _turns(runs, len(sizes)):
        spent, done = time.monotonic() - begin, sum(len(run.places) for run in runs)
        each = spent / max(1, done)
        if done >= least and spent + each * len(places) > spec.seconds:
            break
        show(_told(done, len(sizes), each, spec.seconds - spent))
        some = [sizes[place] for place in places]
        times = run_turns(net, backbone, some, spec, image, device, share, exported)
        ratios = tuple(float(np.median(own / times[0])) for own in times[1:])
        runs.append(Run(places, float(np.median(times[0])), ratios))
    return _summary(runs)


def _turns(runs: Sequence[Run], count: int) -> Iterator[tuple[int, ...]]:
    """Which networks take turns next: each once, then those of the most disturbed run until none is left."""
    for first in range(0, count, TOGETHER):
        yield tuple(range(first, min(count, first + TOGETHER)))
    while True:
        best, tried = _best(runs), [run.places for run in runs]
        off = {run.places: far for run, far in zip(best, _off(best, runs), strict=True)}
        again = {places: far for places, far in off.items() if far > QUIET and tried.count(places) < _TRIES}
        if not again:
            return
        yield max(again, key=again.__getitem__)


def _off(some: Sequence[Run], runs: Sequence[Run]) -> list[float]:
    """How far the dense network's time in each of some runs is from its quiet time."""
    quiet = _quiet_seconds(runs)
    return [abs(run.dense_seconds / quiet - 1.0) for run in some]


def _quiet_seconds(runs: Sequence[Run]) -> float:
    return float(np.quantile([run.dense_seconds for run in runs], 0.25))


def _best(runs: Sequence[Run]) -> list[Run]:
    """The quietest run of each group of networks."""
    best: dict[tuple[int, ...], tuple[float, Run]] = {}
    for run, off in zip(runs, _off(runs, runs), strict=True):
        if run.places not in best or off < best[run.places][0]:
            best[run.places] = off, run
    return [run for _, run in best.values()]


def _summary(runs: Sequence[Run]) -> Timed:
    best = _best(runs)
    disturbed = [run for run, off in zip(best, _off(best, runs), strict=True) if off > QUIET]
    return Timed(
        dense_seconds=_quiet_seconds(runs),
        ratios={place: ratio for run in best for place, ratio in zip(run.places, run.ratios, strict=True)},
        disturbed=frozenset(place for run in disturbed for place in run.places),
        repeated=len(runs) - len(best),
    )


def _told(done: int, count: int, each: float, left: float) -> str:
    if done >= count:
        return f"measuring latency: {TOGETHER} networks again, as the machine was busy, at most {left:.0f} s left"
    rest = f", {min(left, each * (count - done)):.0f} s left" if done else ""
    return f"measuring latency: {done} of {count} networks{rest}"


def run_turns(
    net: nn.Module,
    backbone: Backbone,
    sizes: Sequence[Widths],
    spec: LatencySpec,
    image: Sequence[int],
    device: torch.device,
    cap_seconds: float,
    exported: Exported | None = None,
) -> list[np.ndarray]:
    """Time the dense network and some of its sizes in turns; seconds a round of each, the dense one first.

    Args:
        cap_seconds: see `run_interleaved`.
        exported: what earlier runs have exported, and where further exports are put.
    """
    precision = torch.bfloat16 if spec.precision == "bfloat16" else torch.float32
    known: Exported = {} if exported is None else exported

    def made(widths: Widths) -> nn.Module | bytes:
        key = str(sorted(widths.items()))
        if key not in known:
            own = copy.deepcopy(net) if widths == backbone.widths else resize(net, backbone, widths)
            own = own.to(device, precision).eval()
            if spec.backend != "onnxruntime":
                return own
            known[key] = onnx_bytes(own, image)
        return known[key]

    images = torch.randn(spec.batch, *image, generator=torch.Generator().manual_seed(0)).to(device, precision)
    networks = [made(widths) for widths in (backbone.widths, *sizes)]
    calls = {str(place): make_call(each, images, spec.backend) for place, each in enumerate(networks)}
    times = run_interleaved(calls, cap_seconds=cap_seconds)
    torch.compiler.reset()
    for key in list(known)[1:]:  # the dense network is needed by all runs
        if sum(map(len, known.values())) > _EXPORTED_BYTES:
            del known[key]
    return [times[place].seconds for place in calls]
