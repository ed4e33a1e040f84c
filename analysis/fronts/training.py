"""Say what training stands behind a comparison of subnets with their dense networks, and where it is not fair."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.fronts.budgets import budgets
from analysis.fronts.change import change_of
from analysis.trials.compare import spec_value
from analysis.trials.trial import Results
from ofb_ray.results.records import Record

# A lead of so many half intervals is no matter of chance: the dense network could have learned more.
FAR = 2.0


def trained(results: Results) -> str:
    """Say in a sentence how many epochs the dense network and the subnets had; empty where no record tells."""
    shown = [record for records in _selected(results) for record in records]
    dense, search, finetune = (_epochs(shown, phase) for phase in ("dense", "search", "finetune"))
    if not (dense and search and finetune):
        return ""
    start = " from pretrained weights" if any(map(_pretrained, shown)) else ""
    subnet = f"each subnet, from that network, {search} of search and {finetune} of fine-tuning more"
    return f"Training: dense {dense} epochs{start}; {subnet}."


def undertrained(results: Results) -> str:
    """Say in two sentences that a subnet beats the dense network by far more than the error; else nothing."""
    leads = []
    for records in _selected(results):
        change = change_of(records)
        if change is not None and change.half is not None and change.over.mean > FAR * change.half:
            leads.append((change.over.mean, change.half, records[0].budget.label, records))
    if not leads:
        return ""
    lead, half, label, records = max(leads, key=lambda each: each[0])
    epochs = _epochs(records, "dense")
    now = f" (now {epochs})" if epochs else ""
    return (
        f"The dense network is plainly undertrained: the subnet of budget {label} beats it by {lead:.2f} ± {half:.2f} "
        f"points. Give it more `dense.epochs`{now}, under another --name, before you compare."
    )


def _selected(results: Results) -> list[list[Record]]:
    """The records behind the row of each budget."""
    chosen = [each.setting.trials if each.setting else (each.best,) if each.best else () for each in budgets(results)]
    found = [[trial.record for trial in trials if trial.record and trial.record.subnet] for trials in chosen]
    return [records for records in found if records]


def _epochs(records: Sequence[Record], phase: str) -> str:
    """The epochs of a phase, `30` or `10 to 30`; empty where a record does not state them.

    In a chain those of a search are all that its network has gone through, the budgets above among them.
    """
    known = {_searched(each) if phase == "search" else spec_value(each, f"{phase}.epochs") for each in records}
    numbers = sorted(each for each in known if isinstance(each, int))
    if not numbers or len(numbers) < len(known):
        return ""
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _searched(record: Record) -> object:
    first, link, above = (spec_value(record, key) for key in ("search.epochs", "chain.epochs", "chain.above"))
    return first + link * len(above) if isinstance(first, int) and isinstance(link, int) and above else first


def _pretrained(record: Record) -> bool:
    return bool(spec_value(record, "model.pretrained") or spec_value(record, "model.weights"))
