"""The search of a trial: from the dense network, or in a chain from what the search of the budget above has left."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ofb_ray.data import Dataset
from ofb_ray.export import make_arch, tensors
from ofb_ray.method.axis import Widths
from ofb_ray.results.files import ABOVE_FOLDER
from ofb_ray.search import loop
from ofb_ray.search.calibrate import Calibration, calibration_images
from ofb_ray.search.state import Problem
from ofb_ray.search.supernet import Supernet
from ofb_ray.train import checkpoint
from ofb_ray.train.run import Run, Stopwatch
from ofb_ray.trial import phases
from ofb_ray.trial.calibration import remove_calibration, shared_calibration
from ofb_ray.trial.current import Current
from ofb_ray.trial.dense import Dense
from ofb_ray.trial.origin import Origin, decided_origin, dense_origin
from ofb_ray.trial.phases import FineTuning, Searched, Searching
from ofb_ray.trial.promise import Promise
from ofb_ray.trial.teacher import make_teacher


def search(current: Current, state: Searching, dense: Dense, data: Dataset) -> Searched:
    """Search within what the trial starts from, decide every width, and fuse.

    Args:
        state: how far the search is.
        dense: what the trial, or its chain, starts from.
    """
    origin = _origin(current, dense, data)
    watch, spec = Stopwatch(state.seconds.get("search", 0.0)), current.spec.searching

    def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
        nonlocal state
        state = current.advance(phases.search_epoch(state, row, watch.seconds), resume_state)
        current.show("search", row)

    run, planned = current.run("search", epoch_done), current.planned
    teacher, images = make_teacher(spec.distill, dense.net, planned, current.device), list[Tensor]()
    if spec.parts.compensate:
        images = calibration_images(data.train, spec.calibration_images, current.device)
    problem = Problem(data, spec, origin.goal, planned.dense_cost, teacher, images)
    if planned.dense_ns is not None:
        problem = replace(problem, corrected=Promise(current).corrected)
    known = _calibration(current, origin, data, run) if state.loop is None else Calibration(origin.net)
    if state.loop is None and spec.epochs:
        current.show("search", {"epoch": 0}, "first epoch")
    torch.manual_seed(current.spec.seed)
    net = Supernet(copy.deepcopy(known.net), origin.backbone).to(current.device)
    begun = loop.start(net, problem, run, known) if state.loop is None else loop.resume(net, problem, run, state.loop)
    result = loop.search(begun, problem, run)
    arch = make_arch(planned.model.name, planned.model.args, result.net.backbone.widths, planned.data)
    searched = phases.end_search(state, arch, tensors(result.net.fuse()), result.events, result.trace.state())
    if current.spec.chain is not None:
        searched = replace(searched, note=origin.goal.note, start=_plain(origin.backbone.widths))
    _leave(current, origin, searched)
    return current.advance(searched)


def _leave(current: Current, origin: Origin, searched: Searched) -> None:
    """Keep the search for the trials that go on from it; a calibration that no other trial needs goes."""
    if not current.team.is_main:
        return
    if current.keep_search:
        plain = phases.to_plain(searched, current.spec.search_key)
        checkpoint.save(checkpoint.kept_search(current.shared, current.spec), plain)
    if origin.folder == current.workdir:
        remove_calibration(origin.folder, current.spec.searching)


def _origin(current: Current, dense: Dense, data: Dataset) -> Origin:
    above = _searched_above(current, dense, data)
    if above is None:
        return dense_origin(dense, current.planned, current.shared / current.spec.dense_key)
    return decided_origin(above, current.planned, current.workdir)


def _searched_above(current: Current, dense: Dense, data: Dataset) -> Searched | None:
    """Return the search that this one starts from as its own trial has left it; where it is not there, search again.

    On a CPU that finds the same: so one point of a chain can be made from its record alone.
    """
    spec = current.spec.above
    if spec is None:
        return None
    message = f"the search at budget {spec.budget.label}, from which this one goes on"
    folder = current.workdir / ABOVE_FOLDER
    other = current.elsewhere(spec, folder, message)
    state = other.state
    found = search(other, state, dense, data) if isinstance(state, Searching) else state
    assert not isinstance(found, FineTuning)
    if current.team.is_main:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _calibration(current: Current, origin: Origin, data: Dataset, run: Run) -> Calibration:
    """What calibration images tell of the network that the search starts from, if it was measured, as it stands."""

    def show(done: int, total: int, rest: float) -> None:
        message = f"measuring sensitivities: {done} of {total} axes, {rest:.0f} s left"
        current.show("search", {"epoch": 0}, message)

    spec = current.spec.searching
    if not spec.parts.any:
        return Calibration(origin.net)
    current.show("search", {"epoch": 0}, "calibrating")
    return shared_calibration(origin.net, origin.backbone, data.train, spec, run, origin.folder, show)


def _plain(widths: Widths) -> dict[str, tuple[int, int]]:
    """Sizes as a checkpoint may hold them."""
    return {name: (size.heads, size.width) for name, size in widths.items()}
