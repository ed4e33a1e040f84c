"""What the trials say: the selected trial of each budget, the dense networks, how far a difference can be trusted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from statistics import fmean, median, variance

from analysis.load import Results, Trial
from ofb_ray.records import BudgetOutcome, Record


@dataclass(frozen=True)
class Budget:
    """The trials of one budget. `best` has the highest top-1 val of those that finished and met it, or is None.

    Ties go to fewer MACs, then to the lower number. Top-1 test takes no part: it is only reported.
    """

    label: str
    outcome: BudgetOutcome
    trials: tuple[Trial, ...]
    best: Trial | None


@dataclass(frozen=True)
class Dense:
    """The dense networks of one size; accuracies (percentages) are means over the `count` that were trained."""

    macs: int
    params: int
    top1_val: float | None
    top1_test: float | None
    count: int


def budgets(results: Results) -> list[Budget]:
    """The budgets that have a record, the smallest first; those of MACs before those of parameters."""
    groups: dict[tuple[str, str, int, str], list[tuple[Trial, Record]]] = {}
    for trial in results.trials:
        if (record := trial.record) is not None:
            budget = record.budget
            groups.setdefault((trial.sweep, budget.resource, budget.target, budget.label), []).append((trial, record))
    found = []
    for (sweep, _, _, label), members in sorted(groups.items(), key=lambda item: item[0]):
        trials = tuple(trial for trial, _ in members)
        label = f"{sweep} {label}" if sweep else label
        found.append(Budget(label, members[0][1].budget, trials, best_of(list(trials))))
    return found


def best_of(trials: list[Trial]) -> Trial | None:
    """The trial of highest top-1 val among those that met their budget; then fewest MACs, then the lowest number."""

    def rank(trial: Trial) -> tuple[float, int, int]:
        subnet = trial.record.subnet if trial.record else None
        assert subnet is not None
        assert subnet.top1_val is not None
        return -subnet.top1_val, subnet.macs, trial.number

    return min((trial for trial in trials if trial.met_budget and is_measured(trial)), key=rank, default=None)


def is_measured(trial: Trial) -> bool:
    """Whether there is a subnet whose top-1 val is a number."""
    top1 = trial.record.subnet.top1_val if trial.record and trial.record.subnet else None
    return top1 is not None and not math.isnan(top1)


def dense_networks(results: Results) -> list[Dense]:
    """One entry per size. Trials that share a dense network (same seed and accuracies) count it once."""
    sizes: dict[tuple[int, int], set[tuple[int, float | None, float | None]]] = {}
    for trial in results.trials:
        if trial.record is not None and (dense := trial.record.dense) is not None:
            seen = sizes.setdefault((dense.macs, dense.params), set())
            seen.add((trial.record.seed, dense.top1_val, dense.top1_test))
    return [
        Dense(macs, params, _mean([val for _, val, _ in seen]), _mean([test for _, _, test in seen]), len(seen))
        for (macs, params), seen in sorted(sizes.items())
    ]


def seeds_note(results: Results) -> str:
    """How large a difference of top-1 must be to mean something: from repeated seeds, else from the split's size."""
    records = [trial.record for trial in results.by_status("finished") if trial.record and is_measured(trial)]
    if not records:
        return ""
    seeds = {record.seed for record in records}
    head = f"{len(seeds)} seeds" if len(seeds) > 1 else f"One seed ({min(seeds)})"
    spread = _seed_spread(records)
    if spread is not None:
        return (
            f"{head}: equal settings differ by {spread:.2f} points of top-1 val from seed to seed "
            f"(standard deviation): differences below about {2 * math.sqrt(2) * spread:.1f} points mean nothing."
        )
    why = "no setting was run with two of them" if len(seeds) > 1 else "chance in training is not measured"
    error = _sampling_error(records)
    if error is None:
        return f"{head}: {why}, small differences may mean nothing; `seeds: [0, 1, 2]` in the sweep measures it."
    images, points = error
    return (
        f"{head}: {why}. {images} held-out images alone give a standard error of {points:.1f} points: differences "
        f"below about {2 * math.sqrt(2) * points:.1f} points mean nothing."
    )


def _seed_spread(records: list[Record]) -> float | None:
    """Pooled standard deviation of top-1 val over trials that differ in the seed only; None if there are none."""
    groups: dict[str, dict[int, float]] = {}
    for record in records:
        assert record.subnet is not None
        assert record.subnet.top1_val is not None
        setting = json.dumps({**record.spec, "seed": None}, sort_keys=True)
        groups.setdefault(setting, {})[record.seed] = record.subnet.top1_val
    repeated = [list(group.values()) for group in groups.values() if len(group) > 1]
    if not repeated:
        return None
    freedom = sum(len(group) - 1 for group in repeated)
    return math.sqrt(sum(variance(group) * (len(group) - 1) for group in repeated) / freedom)


def _sampling_error(records: list[Record]) -> tuple[int, float] | None:
    """(held-out images, binomial standard error in points) at the median top-1 val, if the records carry the size."""
    images = {record.environment.get("val_images") for record in records}
    count = images.pop() if len(images) == 1 else None
    if not isinstance(count, int) or count < 1:
        return None
    hits = median(record.subnet.top1_val or 0.0 for record in records if record.subnet) / 100 * count
    # One more hit and one more miss, so that a perfect score does not pass for a certain one.
    share = (hits + 1) / (count + 2)
    return count, 100 * math.sqrt(share * (1 - share) / count)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return fmean(known) if known else None
