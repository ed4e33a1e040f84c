"""Say what a launch would run, how long that takes, and what this machine lacks for it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence

from ofb_ray.config import PHASES, Json, SweepSpec
from ofb_ray.config.space import expand_all, grid_points
from ofb_ray.data import folder
from ofb_ray.data.survey import faults
from ofb_ray.errors import InputError
from ofb_ray.results.cells import cell_key, cell_label, cell_of, params_label, trial_total
from ofb_ray.trial.plan import Plan
from ofb_ray.trial.time_estimate import Estimate, estimate_from_tflops, estimate_on_device
from ofb_ray.tuning.console.words import count, duration
from ofb_ray.tuning.prepare import Launch, unexplored

# Of one GPU in training, in TFLOP/s, where the sweep does not say: an assumption, and called one where it is used.
DEFAULT_TFLOPS = 40.0
# On a machine without a GPU: what is long, and what is offered in its place.
_LONG_SECONDS, _SHORT_SECONDS = 1200.0, 600.0
_SECONDS = 1.5  # of a part of a folder: how long its images are decoded, and as long headers read


def describe_dry_run(launch: Launch) -> str:
    """List every trial with its target and what is known of its values, then the time, then what this machine lacks."""
    spec, first, asked = launch.spec, launch.plans[0], launch.spec.resources
    total = trial_total(spec)
    slots = min(launch.machine.slots if launch.machine else asked.concurrent or 1, total)
    parts = [f"{number:g} {name}{'s' * (number != 1)}" for number, name in ((asked.cpus, "CPU"), (asked.gpus, "GPU"))]
    each = f"each {' and '.join(parts if asked.gpus else parts[:1])}"
    lines = [
        f"{spec.name}: {total} trials, {slots} at a time, {each}"
        + (f" ({asked.workers} workers)" if asked.workers > 1 else ""),
        f"dense: {spec.model.name}, {count(first.dense_macs)} MACs, {count(first.dense_params)} parameters, "
        f"{first.train_images:,} training images",
        *_smallest(launch.plans),
        f"{'trial':>5}  {'seed':>4}  {'target':>12}  {'ratio':>6}  {'minimum':>8}  budget and values",
        *_trials(spec, launch.plans, total),
        f"explored: {', '.join(_explored(spec)) or 'nothing'}",
        *_chain(spec),
        describe_time(launch),
    ]
    if spec.promote:
        more, long = spec.promote.best * len({cell_label(cell) for cell in spec.cells}), spec.promote.epochs
        lines.append(f"promoted: then the best of each budget fine-tune {long} epochs: {more} trials, not counted here")
    lines += [f"warning: {line}" for line in unexplored(launch.spec)]
    lines += [f"warning: {line}" for line in dict.fromkeys(plan.warning for plan in launch.plans) if line]
    lines += [f"warning: {line}" for line in _unreadable(spec)]
    lines += [f"missing: {line}" for line in launch.missing]
    return "\n".join(lines)


def _smallest(plans: Sequence[Plan]) -> list[str]:
    """Say what `search.space` reaches, once for each of its values and resources."""
    lines = []
    for plan in plans:
        if plan.provisional:
            lines.append(
                "latency: its table is measured when the first trial starts (latency.seconds, and not counted here); "
                "what is reachable is known then"
            )
            continue
        share = f"{plan.minimum / plan.dense_cost:.4f} of the dense network's"
        lines.append(f"smallest reachable: {_amount(plan, plan.minimum)}, {share}")
    return list(dict.fromkeys(lines))


def _trials(spec: SweepSpec, plans: Sequence[Plan], total: int) -> list[str]:
    cells, turns, lines = spec.cells, Counter[str](), []
    for number in range(total):
        cell = cell_of(spec, number)
        plan = plans[cells.index(cell)]
        turns[cell_key(cell)] += 1
        values = _values(spec, cell, turns[cell_key(cell)] - 1)
        target, ratio = _amount(plan, plan.target, short=True), f"{plan.target / plan.dense_cost:.3f}"
        minimum = _amount(plan, plan.minimum, short=True).partition(" ")[0]
        if plan.provisional:
            target, ratio, minimum = "measured", "", ""
        note = f" ({plan.note})" if plan.note else ""
        lines.append(
            f"{number:5d}  {cell['seed']:4d}  {target:>12}  {ratio:>6}  "
            f"{minimum:>8}  {cell_label(cell)}{_from(spec, cell)}{values}{note}"
        )
    return lines


def _amount(plan: Plan, amount: int, short: bool = False) -> str:
    """Write a cost with its unit, `1.2M MACs` or `3.4 ms`."""
    if plan.resource == "latency_ns":
        return f"{amount / 1e6:.3g} ms"
    return f"{count(amount)} {'MACs' if plan.resource == 'macs' else 'params' if short else 'parameters'}"


def _from(spec: SweepSpec, cell: Json) -> str:
    above = None if spec.leads(cell) else spec.trial(cell, {}).above
    return "" if above is None else f" from {above.budget.label}"


def _unreadable(spec: SweepSpec) -> list[str]:
    """Say which images of the user's own folders cannot be read, as far as seconds tell."""
    folders = {}
    for cell in spec.cells:
        data = spec.trial(cell, {}).data
        if data.name == "folder":
            folders[data.root, data.val_share, data.train_limit, data.test_limit, data.unreadable] = data
    lines: list[str] = []
    for data in folders.values():
        with contextlib.suppress(InputError):  # what is missing stands among the plans' own lines
            lines += faults(folder.find(data), data, _SECONDS)
    return lines


def _explored(spec: SweepSpec) -> list[str]:
    """The keys whose values differ between trials: none where each cell has one trial, with the file's own values."""
    alone = spec.sampler.name != "grid" and max(map(spec.wanted, spec.cells)) == 1
    return [] if alone else list(spec.parameters)


def _chain(spec: SweepSpec) -> list[str]:
    """Say how many search epochs a chain has, and what searches of their own would cost."""
    if spec.chain is None:
        return []
    links, apart = len(spec.budgets) - 1, len(spec.budgets) * spec.search.epochs
    epochs = spec.search.epochs + links * spec.chain.epochs
    ratio = f", {epochs / apart:.2f} of it" if apart else ""
    return [
        f"chain: {spec.search.epochs} + {links} x {spec.chain.epochs} search epochs a suggestion, {epochs} where "
        f"separate searches have {apart}{ratio}; trials are numbered as the searches above them end"
    ]


def _estimates(launch: Launch) -> list[Estimate]:
    """Estimate the time of a trial by a few steps where they can be run here, else of each cell's by arithmetic."""
    spec = launch.spec
    trials = [spec.trial(cell, {}) for cell in spec.cells]
    runs_here = launch.machine is not None or not spec.resources.gpus
    if runs_here and not any(line.startswith("data:") for line in launch.missing):
        first = estimate_on_device(trials[0], launch.plans[0], max(1, int(spec.resources.cpus_per_worker)))
        return [first.of(trials[0], trial) for trial in trials]
    tflops, workers = spec.resources.gpu_tflops or DEFAULT_TFLOPS, spec.resources.workers
    pairs = zip(trials, launch.plans, strict=True)
    return [estimate_from_tflops(trial, planned, tflops, workers) for trial, planned in pairs]


def _values(spec: SweepSpec, cell: Json, turn: int) -> str:
    """Say what is known of the values of the `turn`-th trial of a cell before it is suggested."""
    if not spec.parameters:
        return ""
    if spec.sampler.name == "grid":
        return f"; {params_label(expand_all(grid_points(spec.parameters, cell)[turn]))}"
    if turn == 0:
        return "; the file's values"
    point = spec.points[turn - 1] if turn <= len(spec.points) else {}
    known = f"; {params_label(expand_all(point))}" if point else ""
    return known if len(point) == len(spec.parameters) else f"{known}; by Optuna"


def describe_time(launch: Launch) -> str:
    """Say how long the sweep takes, in a line, and with GPUs how many GPU days, in another."""
    spec, total, estimates = launch.spec, trial_total(launch.spec), _estimates(launch)
    slots = min(launch.machine.slots if launch.machine else spec.resources.concurrent or 1, total)
    networks, dense, trial = _share(spec, estimates)
    whole = seconds_in_all(spec, estimates, slots)
    several = f"{networks} dense networks of {duration(dense)} each"
    first = f"{several if networks > 1 else f'1 dense network of {duration(dense)}'}, then " if dense else ""
    text = f"time: about {duration(whole)}: {first}{duration(trial)} a trial, {estimates[0].how}"
    if not spec.resources.gpus and whole > _LONG_SECONDS:
        text += f"\nshorter: about {duration(_SHORT_SECONDS)} with {_shorter(spec, _SHORT_SECONDS / whole)}"
    if spec.resources.gpus:
        days = (dense * networks + trial * total) * spec.resources.gpus / 86400
        text += f"\nGPU days: about {days:.2f} in all, {trial * spec.resources.gpus / 86400:.2f} a trial"
    return text


def _shorter(spec: SweepSpec, part: float) -> str:
    """Write the flags by which a sweep has a part of its epochs."""
    keys = {f"{phase}.epochs": getattr(spec, phase).epochs for phase in PHASES}
    keys |= {"chain.epochs": spec.chain.epochs} if spec.chain is not None else {}
    return " ".join(f"--set {key}={max(1, round(part * epochs))}" for key, epochs in keys.items() if epochs)


def seconds_in_all(spec: SweepSpec, estimates: Sequence[Estimate], slots: int) -> float:
    """Add up the seconds of a sweep: its dense networks, then its trials.

    Args:
        estimates: of the first trial of each cell.
        slots: trials at a time.
    """
    networks, dense, trial = _share(spec, estimates)
    return dense * -(-networks // slots) + trial * trial_total(spec) / slots


def _share(spec: SweepSpec, estimates: Sequence[Estimate]) -> tuple[int, float, float]:
    """Count the dense networks; the seconds of one, and of a trial on average."""
    networks = len({spec.trial(cell, {}).dense_key for cell in spec.cells})
    return networks, estimates[0].dense, sum(estimate.trial for estimate in estimates) / len(estimates)
