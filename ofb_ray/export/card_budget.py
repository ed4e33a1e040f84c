"""The sentences of a model card about its budget."""

from __future__ import annotations

from ofb_ray.results.records import Record


def budget_text(record: Record) -> str:
    """Say what was promised, how it was kept, and of a time what it came to when the subnet was timed."""
    budget = record.budget
    used = f", of which {100 * budget.used:.2f} % are used" if budget.used is not None else ""
    note = f" Note: {budget.note}." if budget.note else ""
    if budget.resource == "latency_ns":
        return (
            f"Budget `{budget.label}`: at most {budget.target / 1e6:.4g} ms{used} by its table.{_timed(record)}{note}"
        )
    unit = "MACs" if budget.resource == "macs" else "parameters"
    return f"Budget `{budget.label}`: at most {budget.target:,} {unit}{used}.{note}"


def _timed(record: Record) -> str:
    """Say what a budget of latency came to when the subnet was timed."""
    found, how = record.latency, record.spec.get("latency") or {}
    if found is None or found.ratio is None:
        return ""
    where = f"{how.get('backend')}, batch {how.get('batch')}, {how.get('threads')} threads"
    interval = f"10 to 90 %: {found.ratio_low:.3f} to {found.ratio_high:.3f}"
    return f" Timed in turns with the dense network ({where}) it takes {found.ratio:.3f} of its time ({interval})."
