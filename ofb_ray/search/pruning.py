"""Eliminated candidates -> a smaller supernet and an optimizer that remembers.

One function cuts weights and Adam moments alike; supernet and optimizer are rebuilt, the old ones stay as they were.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone, Indices, cut_indices, cut_network
from ofb_ray.method.axis import Axis, Keep, Width, keep_best, rank_units, shrink
from ofb_ray.method.bimask import BiMask, Gate, MaskMode, bimask, importance
from ofb_ray.method.cost import axis_of, cost, units_of
from ofb_ray.method.projection import Goal, is_reachable, project
from ofb_ray.search.supernet import Decoder, Supernet, decoder_cuts

Alive = dict[str, Tensor]
Event = dict[str, Any]


@dataclass(frozen=True)
class Pruned:
    """A smaller supernet, its optimizer, an event per axis that lost a candidate, and what axes with cut units kept."""

    net: Supernet
    optimizer: torch.optim.Optimizer
    events: list[Event]
    keeps: dict[str, Keep]


def eliminate(net: Supernet, goal: Goal, threshold: float) -> Alive:
    """The candidates that live on, per changed axis: p <= threshold / n dies (n = living candidates).

    An elimination after which no network of the living candidates meets the goal is put off: the budget is a promise.
    """
    changed: Alive = {}
    for name, mask in net.undecided.items():
        p_IJ = mask.probabilities().detach()
        alive = mask.alive_IJ & (p_IJ > threshold / int(mask.alive_IJ.sum()))
        if not torch.equal(alive, mask.alive_IJ):
            changed[name] = alive
    if _reachable(net, goal, changed):
        return changed
    kept: Alive = {}
    for name, alive in changed.items():
        if _reachable(net, goal, kept | {name: alive}):
            kept[name] = alive
    return kept


def project_onto_budget(net: Supernet, goal: Goal, lam: float, mode: MaskMode) -> Alive:
    """One living candidate per axis: the network that keeps the most of the bi-mask within the budget.

    Maximises sum_axis w log(share of the axis' mask mass that the size keeps); w is the share of the cost that the
    axis takes part in, so that without any preference all axes shrink alike.
    """
    candidates = net.candidates()
    total = cost(goal.terms, units_of(net.backbone.widths))
    weight = {axis.name: 0.0 for axis in net.backbone.axes}
    for term in goal.terms:
        part = cost((term,), units_of(net.backbone.widths)) / total
        for name in {axis_of(variable) for variable in term.variables}:
            weight[name] += part
    utility = {name: [0.0] * len(sizes) for name, sizes in candidates.items()}
    for name, mask in net.undecided.items():
        shares = kept_shares(mask, lam, mode)[mask.alive_IJ].tolist()
        utility[name] = [weight[name] * math.log(max(share, 1e-12)) for share in shares]
    widths = project(goal, candidates, utility)
    return {name: _only(mask, widths[name]) for name, mask in net.undecided.items()}


def kept_shares(mask: BiMask, lam: float, mode: MaskMode) -> Tensor:
    """Share of the axis' mask mass inside each candidate size, (I, J)."""
    with torch.no_grad():
        size = mask.axis.size
        head_rank_H, channel_rank_HD = rank_units(mask.score_U, size)
        by_unit_HD = mask(mask.probabilities(), lam, mode).view(size.heads, size.width)
        by_rank_HD = torch.zeros_like(by_unit_HD)
        by_rank_HD[head_rank_H[:, None], channel_rank_HD] = by_unit_HD
        return mask.head_steps_IH @ by_rank_HD @ mask.width_steps_JD.T / by_rank_HD.sum()


def prune(net: Supernet, optimizer: torch.optim.Optimizer, alive: Alive, lam: float, mode: MaskMode = "both") -> Pruned:
    """Cut the units that no living candidate uses; an axis with one candidate left becomes a Gate of value m.

    Args:
        alive: living candidates of the changed axes, (I, J) bool each with at least one True.
        lam: the current lambda, for the value of new gates.
    """
    keeps: dict[str, Keep] = {}
    indices: Indices = {}
    masks: dict[str, BiMask | Gate] = {axis.name: net.mask(axis.name) for axis in net.backbone.axes}
    events: list[Event] = []
    for name, alive_IJ in alive.items():
        mask = net.undecided[name]
        rows, columns = alive_IJ.any(dim=1).nonzero().flatten(), alive_IJ.any(dim=0).nonzero().flatten()
        axis = _smaller(mask.axis, rows, columns)
        if axis.size != mask.axis.size:
            keeps[name] = keep_best(mask.score_U, mask.axis.size, axis.size)
        masks[name] = _cut_mask(mask, axis, alive_IJ[rows][:, columns], (rows, columns), keeps.get(name), lam, mode)
        prefix = f"masks.{name.replace('.', '/')}"
        indices[f"{prefix}.alpha_IJ"] = [(0, rows), (1, columns)]
        if name in keeps:
            indices[f"{prefix}.score_U"] = [(0, keeps[name].units_U)]
        events.append(_event(name, mask, axis, int(alive_IJ.sum())))
    indices |= {f"body.net.{name}": dims for name, dims in cut_indices(net.backbone.cuts, keeps).items()}
    decoder_indices = cut_indices(decoder_cuts(net.backbone.tokens), keeps)
    indices |= {f"decoder.{name}": dims for name, dims in decoder_indices.items()}
    backbone = net.backbone.with_axes([masks[axis.name].axis for axis in net.backbone.axes])
    new = Supernet(
        cut_network(net.net, net.backbone, keeps),
        backbone,
        _copies(masks, alive),
        _cut_decoder(net, backbone, decoder_indices),
    )
    new.train(net.training)
    return Pruned(new, cut_optimizer(optimizer, net, new, indices), events, keeps)


def cut_optimizer(
    optimizer: torch.optim.Optimizer, old: nn.Module, new: nn.Module, indices: Indices
) -> torch.optim.Optimizer:
    """The same optimizer over `new`, every moment cut like its parameter; new gates join the role "gate"."""
    names = {id(param): name for name, param in old.named_parameters()}
    params = dict(new.named_parameters())
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        kept = [params[name] for name in (names[id(param)] for param in group["params"]) if name in params]
        if group.get("role") == "gate":
            past = {names[id(param)] for group in optimizer.param_groups for param in group["params"]}
            kept += [param for name, param in params.items() if name not in past and name.startswith("masks.")]
        groups.append({**group, "params": kept})
    fresh = torch.optim.AdamW([group for group in groups if group["params"] or group.get("role") == "gate"])
    for group in optimizer.param_groups:
        for param in group["params"]:
            name = names[id(param)]
            if name in params and param in optimizer.state:
                fresh.state[params[name]] = {
                    key: _cut_moment(value, indices.get(name, [])) for key, value in optimizer.state[param].items()
                }
    return fresh


def _cut_moment(value: Any, dims: list[tuple[int, Tensor]]) -> Any:
    if not isinstance(value, Tensor):
        return value
    return shrink(value, dims).clone() if value.dim() else value.clone()


def _reachable(net: Supernet, goal: Goal, changed: Alive) -> bool:
    candidates = net.candidates()
    for name, alive in changed.items():
        flags = alive.flatten().tolist()
        candidates[name] = [size for size, flag in zip(net.undecided[name].axis.candidates, flags, strict=True) if flag]
    return is_reachable(goal.terms, candidates, goal.floor, goal.target)


def _only(mask: BiMask, size: Width) -> Tensor:
    flags = [candidate == size for candidate in mask.axis.candidates]
    return torch.tensor(flags, device=mask.alive_IJ.device).view_as(mask.alive_IJ)


def _smaller(axis: Axis, rows: Tensor, columns: Tensor) -> Axis:
    heads = tuple(axis.head_choices[row] for row in rows.tolist())
    widths = tuple(axis.width_choices[column] for column in columns.tolist())
    return replace(axis, head_choices=heads, width_choices=widths)


def _cut_mask(
    mask: BiMask,
    axis: Axis,
    alive_IJ: Tensor,
    choices: tuple[Tensor, Tensor],
    keep: Keep | None,
    lam: float,
    mode: MaskMode,
) -> BiMask | Gate:
    score_U = mask.score_U.detach() if keep is None else shrink(mask.score_U.detach(), [(0, keep.units_U)])
    if int(alive_IJ.sum()) == 1:
        return Gate(axis, bimask(importance(score_U), torch.ones_like(score_U), lam, mode))
    new = BiMask(axis).to(score_U.device)
    with torch.no_grad():
        new.score_U.copy_(score_U)
        new.alpha_IJ.copy_(shrink(mask.alpha_IJ, [(0, choices[0]), (1, choices[1])]))
        new.alive_IJ.copy_(alive_IJ)
    return new


def _cut_decoder(net: Supernet, backbone: Backbone, indices: Indices) -> Decoder:
    tensors = {name: shrink(value, indices.get(name, [])) for name, value in net.decoder.state_dict().items()}
    decoder = Decoder(backbone.tokens, backbone.widths).to(net.decoder.mask_token_E.device)
    decoder.load_state_dict(tensors)
    return decoder


def _copies(masks: Mapping[str, BiMask | Gate], fresh: Alive) -> dict[str, BiMask | Gate]:
    """Masks that this cut did not make are copied: the old supernet keeps its own."""
    return {name: mask if name in fresh else copy.deepcopy(mask) for name, mask in masks.items()}


def _event(name: str, mask: BiMask, axis: Axis, living: int) -> Event:
    return {"axis": name, "from": list(mask.axis.size), "to": list(axis.size), "living": living, "decided": living == 1}
