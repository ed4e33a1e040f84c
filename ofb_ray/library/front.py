"""Compress one network to several budgets: what each MAC buys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ofb_ray.config import Budget, Link, TrialSpec
from ofb_ray.config.trial import descent_fault
from ofb_ray.errors import InputError
from ofb_ray.library.compress import kept_random_state, prepare
from ofb_ray.library.keywords import make_spec
from ofb_ray.library.result import Compressed
from ofb_ray.trial.plan import UNTRAINED_SHARES, reachable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Shares of the MACs where no budgets are given and something is trained.
_TRAINED = (0.75, 0.5, 0.3)


@dataclass(frozen=True)
class Front:
    """One result a budget, in the order of the budgets."""

    results: tuple[Compressed, ...]

    def __iter__(self) -> Iterator[Compressed]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Compressed:
        return self.results[index]

    def frame(self) -> pd.DataFrame:
        """Tabulate the networks, the dense one first: budget, share of MACs, macs, params, accuracies in percent."""
        import pandas as pd

        dense = self.results[0].dense
        rows = [("dense", dense), *((each.record.budget.label, each.subnet) for each in self.results)]
        return pd.DataFrame(
            [{"budget": label, "share": each.macs / dense.macs, **each.model_dump()} for label, each in rows]
        )

    def draw(self, axes: Axes, column: str = "top1_val") -> None:
        """Draw accuracy over MACs into `axes`, the dense network as a line of its own.

        Args:
            column: of `frame`, in percent.
        Raises:
            InputError: it was not measured.
        """
        rows = self.frame().sort_values("macs")
        if rows[column].isna().any():
            raise InputError(f"{column} was not measured: `front` needs `test` for accuracies on it", key="column")
        subnets = rows[rows["budget"] != "dense"]
        axes.plot(subnets["macs"] / 1e6, subnets[column], marker="o", label="compressed")
        axes.axhline(float(rows.loc[rows["budget"] == "dense", column].iloc[0]), linestyle="--", label="dense")
        axes.set(xlabel="MACs (millions)", ylabel=f"{column.replace('_', ' ')} (%)")
        axes.legend()

    def __repr__(self) -> str:
        return "\n".join(["Front:", *(f"  {each!r}" for each in self.results)])

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False))


def front(
    net: nn.Module,
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    budgets: Sequence[float | Mapping[str, float]] | None = None,
    epochs: int | None = None,
    chain: int | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **keys: Any,
) -> Front:
    """Compress a network to each of several budgets. The dense network is evaluated once, images are decoded once.

    All budgets are checked before the first is begun. With `epochs=0` the front needs no training: calibration images
    give the widths and the compensated weights of every budget, and neither search nor fine-tuning has an epoch.

    Args:
        budgets: as `budget` of `compress`. None: 0.75, 0.5 and 0.3 of the MACs; without training 0.9, 0.8, ..., 0.2,
            as far as the network can reach them. The other arguments are those of `compress`; in the folder `out`
            every budget has a folder of its own.
        chain: search epochs from one budget to the next one below: a single search goes down through all of them, and
            `budgets` descend. None searches for each from the dense network.
    Raises:
        InputError: network, data, keys or a budget do not fit; one line.
        TrialFailed: training diverged.
    """
    if budgets is not None and not budgets:
        raise InputError("needs at least one budget", key="budgets")
    with kept_random_state():
        work = prepare(net, train, val, test, epochs=epochs, out=out, **keys)
        spec = make_spec({**work.tree, "budget": 1.0})
        trained = spec.search.epochs or spec.finetune.epochs
        if budgets is None and not trained:
            found, _ = reachable(make_spec({**work.tree, "budget": share}) for share in UNTRAINED_SHARES)
            specs = [spec for spec, _ in found]
        else:
            specs = [work.spec(budget) for budget in budgets or _TRAINED]
        if chain is not None:
            specs = _chained(specs, chain)
        names = [folder_name(spec.budget) for spec in specs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{twice[0]} stands twice", key="budgets")
        results = []
        for count, (spec, name) in enumerate(zip(specs, names, strict=True), 1):
            title = f"budget {spec.budget.label} ({count} of {len(specs)}) "
            results.append(work.run(spec, work.folder / name, title, quiet, chain is not None))
        return Front(tuple(results))


def _chained(specs: Sequence[TrialSpec], epochs: int) -> list[TrialSpec]:
    """Let each search go on from the one before it."""
    budgets = [spec.budget for spec in specs]
    if (fault := descent_fault(budgets)) is not None:
        raise InputError(f"a chain {fault}", key="budgets")
    if epochs < 0:
        raise InputError(f"is a number of epochs, at least 0, not {epochs}", key="chain")
    return [spec.model_copy(update={"chain": Link.at(budgets, at, epochs)}) for at, spec in enumerate(specs)]


def folder_name(budget: Budget) -> str:
    """The label of a budget as the name of a folder: `0.5`, `1.7-GMACs`."""
    return budget.label.replace(" ", "-")
