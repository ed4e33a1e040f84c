"""What a search knows before its first step: the canonical network, importance scores, measured sensitivities."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.calibration.canonical import canonical
from ofb_ray.calibration.sensitivity import Meter, sensitivities
from ofb_ray.calibration.softened import softened, temperature_of
from ofb_ray.config import SearchSpec
from ofb_ray.data import EpochPlan, Split
from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.projection import Goal, project
from ofb_ray.search.scores import init_scores
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run

_BATCH, _SEED = 64, 0
# Divergences are means over so many images at most; a second moment wants more.
_MEASURED_IMAGES = 128
# sigmoid(7 - 3) = 0.98: at the start the masks leave the network whole.
_CENTRE_SHIFT = 4.5

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Calibration:
    """What calibration images tell of a dense network.

    Args:
        net: the network, in its canonical basis if that was asked for, on the CPU.
        scores: per axis with a choice the importance (U,) of its units.
        deltas: per axis with a choice the divergence (I, J) in nats that each size costs; empty if it was not measured.
    """

    net: nn.Module
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    deltas: Mapping[str, Tensor] = field(default_factory=dict)


# Called with a calibration that lacks its deltas: those that are known of it already, and where further ones are put.
Known = Callable[[Calibration], MutableMapping[str, Tensor]]


def calibration_images(split: Split, count: int, device: torch.device) -> list[Tensor]:
    """Return `count` training images without augmentation, in batches, the same for all trials of a data set."""
    size = min(_BATCH, count, len(split))
    plan = EpochPlan(size, _SEED, augment=False)
    batches = itertools.islice(split.train_batches(plan, device), -(-count // size))
    return [batch.image for batch in batches]


def calibrate(
    dense: nn.Module,
    backbone: Backbone,
    split: Split,
    spec: SearchSpec,
    run: Run,
    progress: Progress = lambda done, total, rest: None,
    known: Known = lambda begun: {},
) -> Calibration:
    """Turn a dense network into its canonical basis and measure what each size of each axis costs it, as asked.

    Args:
        dense: trained; it stays as it is.
        split: the training images.
        progress: see `sensitivities`.
        known: what an attempt that was killed had measured, axis by axis.
    """
    parts, device = spec.parts, run.device
    images = calibration_images(split, spec.calibration_images, device)
    net = copy.deepcopy(dense).to(device).eval()
    if parts.canonical:
        net = canonical(net, backbone, images).eval()
    if not parts.sensitivity:
        return Calibration(net.cpu())
    supernet = Supernet(net, backbone).to(device)
    init_scores(supernet, split, run)
    scores = {name: mask.score_U.detach() for name, mask in supernet.undecided.items()}
    axes = [axis for axis in backbone.axes if axis.name in scores]
    meter = Meter(net, backbone, images[: -(-_MEASURED_IMAGES // len(images[0]))], scores)
    begun = Calibration(net, {name: score.cpu() for name, score in scores.items()})
    deltas = sensitivities(meter, axes, progress, known(begun))
    return replace(begun, net=net.cpu(), deltas=deltas)


def best_widths(calibration: Calibration, backbone: Backbone, goal: Goal) -> dict[str, Width]:
    """Find the sizes within the budget whose divergences have the smallest sum."""
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    utility = {name: [0.0] * len(sizes) for name, sizes in candidates.items()}
    utility |= {name: (-delta_IJ.flatten()).tolist() for name, delta_IJ in calibration.deltas.items()}
    return project(goal, candidates, utility)


@dataclass(frozen=True)
class Prior:
    """What each size was known to cost at the start, in units of alpha: utility / T = alpha + offset.

    At the start that is -Delta / T; what alpha has learned since then is added to it.

    Args:
        offset: per axis and size (heads, width): -Delta / T - alpha at the start.
    """

    offset: dict[str, dict[tuple[int, int], float]]

    def utility(self, net: Supernet) -> dict[str, list[float]]:
        """Value every living size of every axis."""
        values = {}
        for name, sizes in net.candidates().items():
            values[name] = [0.0] * len(sizes)
            if name in net.undecided and name in self.offset:
                mask = net.undecided[name]
                alphas = mask.alpha_IJ.detach()[mask.alive_IJ].tolist()
                values[name] = [
                    alpha + self.offset[name][size.heads, size.width] for alpha, size in zip(alphas, sizes, strict=True)
                ]
        return values


def begin(net: Supernet, calibration: Calibration, goal: Goal, aim: float, doubt: float) -> Prior:
    """Set scores and alpha of a new supernet: masks that leave it whole, expected cost = aim.

    Args:
        aim: expected cost, in the goal's resource.
        doubt: temperature over the mean divergence of the axes that the best network cuts.
    """
    axes: Sequence[Axis] = net.backbone.axes
    temperature = doubt * temperature_of(calibration.deltas, axes, best_widths(calibration, net.backbone, goal))
    log_p = softened(goal.terms, axes, calibration.deltas, aim, temperature)
    offset: dict[str, dict[tuple[int, int], float]] = {}
    with torch.no_grad():
        for name, mask in net.undecided.items():
            mask.score_U.copy_(calibration.scores[name] + _CENTRE_SHIFT)
            mask.alpha_IJ.copy_(log_p[name].nan_to_num(neginf=0.0))
            gap = (-calibration.deltas[name] / temperature - log_p[name])[mask.alive_IJ.cpu()].tolist()
            sizes = mask.axis.living(mask.alive_IJ)
            offset[name] = {(size.heads, size.width): value for size, value in zip(sizes, gap, strict=True)}
    return Prior(offset)
