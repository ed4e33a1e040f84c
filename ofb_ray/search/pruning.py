"""Eliminated candidates -> a smaller supernet and an optimizer that remembers.

One function cuts weights and Adam moments alike; supernet and optimizer are rebuilt, the old ones stay as they were.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Indices, cut_indices, cut_network
from ofb_ray.method.axis import Keep, keep_best, rank_units, shrink
from ofb_ray.method.bimask import BiMask, Gate, MaskMode, bimask, importance
from ofb_ray.method.cost import axis_of, cost, units_of
from ofb_ray.method.projection import Goal, Utility, is_reachable, project
from ofb_ray.search.supernet import Supernet, mask_key
from ofb_ray.train.checkpoint import optimizer_state, restore_optimizer

Alive = dict[str, Tensor]


@dataclass(frozen=True)
class Pruned:
    """A smaller supernet, its optimizer, and per axis that lost a candidate an event and what it kept."""

    net: Supernet
    optimizer: torch.optim.Optimizer
    events: list[dict[str, Any]]
    keeps: dict[str, Keep]


def eliminate(net: Supernet, goal: Goal, threshold: float) -> Alive:
    """Let candidates die whose p <= threshold / n (n = living candidates of the axis).

    An elimination after which no network of the living candidates meets the goal is put off: the budget is a promise.

    Args:
        net: with at least one undecided axis.
        goal: the budget.
        threshold: in [0, 1].
    Returns:
        the candidates that live on, (I, J) bool per changed axis.
    """
    changed: Alive = {}
    for name, mask in net.undecided.items():
        alive = mask.alive_IJ & (mask.probabilities().detach() > threshold / int(mask.alive_IJ.sum()))
        if not torch.equal(alive, mask.alive_IJ):
            changed[name] = alive

    def reachable(alive: Alive) -> bool:
        return is_reachable(goal.terms, net.candidates(alive), goal.floor, goal.target)

    if reachable(changed):
        return changed
    kept: Alive = {}
    for name, alive in changed.items():
        if reachable(kept | {name: alive}):
            kept[name] = alive
    return kept


def mask_utility(net: Supernet, goal: Goal, lam: float, mode: MaskMode) -> dict[str, list[float]]:
    """Value every living size by what it keeps of the bi-mask: w log(share of the axis' mask mass).

    w is the share of the cost that the axis takes part in, so that without any preference all axes shrink alike.

    Args:
        net: the network.
        goal: the budget.
        lam: lambda in [0, 1].
        mode: which parts of the bi-mask to use.
    """
    candidates, sizes = net.candidates(), units_of(net.backbone.widths)
    weight = dict.fromkeys(candidates, 0.0)
    for term in goal.terms:
        for name in {axis_of(variable) for variable in term.variables}:
            weight[name] += cost((term,), sizes) / cost(goal.terms, sizes)
    utility = {name: [0.0] * len(sizes) for name, sizes in candidates.items()}
    for name, mask in net.undecided.items():
        shares = kept_shares(mask, lam, mode)[mask.alive_IJ].tolist()
        utility[name] = [weight[name] * math.log(max(share, 1e-12)) for share in shares]
    return utility


def project_onto_budget(net: Supernet, goal: Goal, utility: Utility) -> Alive:
    """Leave one living candidate per axis: the network of the highest utility within the budget."""
    widths = project(goal, net.candidates(), utility)
    alive = {}
    for name, mask in net.undecided.items():
        chosen = mask.alive_IJ.new_tensor([size == widths[name] for size in mask.axis.candidates])
        alive[name] = mask.alive_IJ & chosen.view_as(mask.alive_IJ)
    return alive


def kept_shares(mask: BiMask, lam: float, mode: MaskMode) -> Tensor:
    """Compute the share of the axis' mask mass inside each candidate size, (I, J) in [0, 1].

    Args:
        mask: the axis.
        lam: lambda in [0, 1].
        mode: which parts of the bi-mask to use.
    """
    with torch.no_grad():
        head_rank_H, channel_rank_HD = rank_units(mask.score_U, mask.axis.size)
        by_unit_HD = mask(mask.probabilities(), lam, mode).view_as(channel_rank_HD)
        by_rank_HD = torch.zeros_like(by_unit_HD)
        by_rank_HD[head_rank_H[:, None], channel_rank_HD] = by_unit_HD
        return mask.head_steps_IH @ by_rank_HD @ mask.width_steps_JD.T / by_rank_HD.sum().clamp_min(1e-30)


def kept_units(net: Supernet, alive: Alive) -> dict[str, Keep]:
    """List the units that stay, by axis, where only these candidates live on."""
    keeps = {}
    for name, alive_IJ in alive.items():
        mask = net.undecided[name]
        rows, columns = _choices(alive_IJ)
        keeps[name] = keep_best(mask.score_U, mask.axis.size, mask.axis.restricted(rows, columns).size)
    return keeps


def _choices(alive_IJ: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the head choices and of the width choices that some living candidate has."""
    return alive_IJ.any(dim=1).nonzero().flatten(), alive_IJ.any(dim=0).nonzero().flatten()


def prune(
    net: Supernet,
    optimizer: torch.optim.Optimizer,
    alive: Alive,
    lam: float,
    mode: MaskMode = "both",
    compensated: Mapping[str, Tensor] | None = None,
) -> Pruned:
    """Cut the units that no living candidate uses; an axis with one candidate left becomes a Gate of value m.

    Args:
        net: the network before the cut; it stays as it is.
        optimizer: over its parameters; it stays as it is.
        alive: living candidates of the changed axes, (I, J) bool each with at least one True.
        lam: the current lambda in [0, 1], for the value of new gates.
        mode: the parts of the bi-mask that the search uses, for the value of new gates.
        compensated: parameters of `net.net`, by name, that take the place of its own before the cut.
    """
    axes = {axis.name: axis for axis in net.backbone.axes}
    masks: dict[str, BiMask | Gate] = {name: copy.deepcopy(net.mask(name)) for name in axes if name not in alive}
    keeps, choices = kept_units(net, alive), Indices()
    events: list[dict[str, Any]] = []
    for name, alive_IJ in alive.items():
        mask, living = net.undecided[name], int(alive_IJ.sum())
        rows, columns = _choices(alive_IJ)
        axis = axes[name] = mask.axis.restricted(rows, columns)
        if living == 1:
            score_U = mask.score_U.detach()[keeps[name].units_U]
            masks[name] = Gate(axis, bimask(importance(score_U), torch.ones_like(score_U), lam, mode))
        choices |= {f"masks.{mask_key(name)}.{part}": [(0, rows), (1, columns)] for part in ("alpha_IJ", "alive_IJ")}
        sizes = {"from": list(mask.axis.size), "to": list(axis.size)}
        events.append({"axis": name, **sizes, "living": living, "decided": living == 1})
    indices = cut_indices(net.cuts, keeps) | choices
    small = cut_network(net.net, net.backbone, keeps)
    new = Supernet(small, net.backbone.with_axes(list(axes.values())), masks).to(net.decoder.mask_token_E)
    old = net.state_dict() | {f"masks.{mask_key(name)}.alive_IJ": alive_IJ for name, alive_IJ in alive.items()}
    old |= {f"body.net.{name}": value for name, value in (compensated or {}).items()}
    # A new gate alone is not in the old state.
    state = {name: old.get(name, value) for name, value in new.state_dict().items()}
    new.load_state_dict({name: shrink(value, indices.get(name, [])) for name, value in state.items()})
    new.train(net.training)
    return Pruned(new, cut_optimizer(optimizer, net, new, indices), events, keeps)


def cut_optimizer(
    optimizer: torch.optim.Optimizer, old: nn.Module, new: nn.Module, indices: Indices
) -> torch.optim.Optimizer:
    """Rebuild the optimizer over `new`, every moment cut like its parameter; new gates join the role "gate".

    Args:
        optimizer: over the parameters of `old`.
        old: the network before the cut.
        new: the network after it.
        indices: per parameter of `old` that was cut, pairs (dimension, kept indices along it).
    """
    state, params = optimizer_state(optimizer, old), dict(new.named_parameters())
    before = {name for group in state["groups"] for name in group["params"]}
    gates = [name for name in params if name.startswith("masks.") and name not in before]
    groups = []
    for group in state["groups"]:
        kept = [name for name in group["params"] if name in params]
        groups.append({**group, "params": kept + gates if group["role"] == "gate" else kept})
    moments = {
        name: {key: shrink(value, indices.get(name, []) if value.dim() else []).clone() for key, value in past.items()}
        for name, past in state["moments"].items()
        if name in params
    }
    return restore_optimizer({"groups": groups, "moments": moments}, new)
