"""A backbone whose parameters pass through masks.

The network is timm's own and holds no search code: masks scale the parameters that produce the units, and
`torch.func.functional_call` runs the module with the scaled parameters.

Shape suffixes: B images, C channels, E embedding, U units of an axis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ofb_ray.backbones.base import Backbone, rebuild
from ofb_ray.method.axis import Axis, Cut, Width
from ofb_ray.method.bimask import BiMask, Gate, MaskMode
from ofb_ray.method.cost import Part
from ofb_ray.search.axis_batch import AxisBatch, Probabilities, batched
from ofb_ray.search.costing import Costing
from ofb_ray.search.gating import Gating
from ofb_ray.search.masked_images import Body, Decoder

Masks = Mapping[str, Tensor]


class Output(NamedTuple):
    """Logits (B, classes) and, when tokens were masked, the reconstructed image (B, C, height, width)."""

    logits: Tensor
    image: Tensor | None


def mask_key(axis: str) -> str:
    """The name of an axis in `Supernet.masks`: names of modules have no dots."""
    return axis.replace(".", "/")


class Supernet(nn.Module):
    """A network with one BiMask (undecided) or Gate (decided) per axis. Rebuilt, never mutated, by a cut.

    Args:
        net: a timm network; its tensors are the supernet's parameters.
        backbone: its description at the current widths.
        masks: by axis; an axis without one gets a fresh BiMask, or a Gate of ones where it has a single candidate.
    """

    def __init__(self, net: nn.Module, backbone: Backbone, masks: Mapping[str, BiMask | Gate] | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        # Replaced by its compiled form once no cut changes the shapes any more. To look for tied weights in every step
        # costs a walk through the modules; a network that had some could not be cut.
        self.run: Callable[..., tuple[Tensor, Tensor]] = functools.partial(functional_call, tie_weights=False)
        self._params = dict(net.named_parameters())
        self.body = Body(net, backbone.tokens)
        given = masks or {}
        self.masks = nn.ModuleDict({mask_key(a.name): given.get(a.name) or _fresh_mask(a) for a in backbone.axes})
        self.decoder = Decoder(backbone.tokens, backbone.widths)
        batches = batched([mask.axis for mask in self.undecided.values()])
        self.batches = nn.ModuleList(batches)
        self.gating = Gating(backbone, {name: param.dim() for name, param in self._params.items()})
        self.costing = Costing(backbone.widths, batches)

    @property
    def net(self) -> nn.Module:
        return self.body.net

    def mask(self, name: str) -> BiMask | Gate:
        found = self.masks[mask_key(name)]
        assert isinstance(found, BiMask | Gate)
        return found

    @property
    def cuts(self) -> list[Cut]:
        """What of `state_dict()` follows the units of an axis: network, decoder and scores."""
        tokens = self.backbone.tokens
        return [
            *(replace(cut, param=f"body.net.{cut.param}") for cut in self.backbone.cuts),
            Cut("decoder.mask_token_E", 0, tokens.stem_embedding),
            Cut("decoder.conv.weight", 1, tokens.embedding),
            *(Cut(f"masks.{mask_key(name)}.score_U", 0, name) for name in self.undecided),
        ]

    @property
    def undecided(self) -> dict[str, BiMask]:
        """The axes that still have a choice."""
        masks = {axis.name: self.mask(axis.name) for axis in self.backbone.axes}
        return {name: mask for name, mask in masks.items() if isinstance(mask, BiMask)}

    def probabilities(self) -> Probabilities:
        """Compute p (I, J) of every undecided axis."""
        padded = [batch.probabilities(masks) for batch, masks in self._batched_masks()]
        return Probabilities(self._batches(), padded)

    def unit_masks(self, p: Probabilities, lam: float, mode: MaskMode = "both") -> dict[str, Tensor]:
        """Compute m (U,) of every axis: the bi-mask where it is undecided, the free gate where it is decided.

        Args:
            p: as `probabilities` returns it.
            lam: lambda in [0, 1].
            mode: which parts of the bi-mask to use.
        """
        masks = {axis.name: self.mask(axis.name) for axis in self.backbone.axes}
        found: dict[str, Tensor] = {name: mask.gate_U for name, mask in masks.items() if isinstance(mask, Gate)}
        for (batch, undecided), p_AIJ in zip(self._batched_masks(), p.padded, strict=True):
            mask_M = batch.unit_masks(undecided, p_AIJ, lam, mode)
            found |= zip((axis.name for axis in batch.axes), torch.split(mask_M, batch.unit_counts), strict=True)
        return {name: found[name] for name in masks}

    def gated_parameters(self, masks: Masks) -> dict[str, Tensor]:
        """Compute what `net` runs with: rows of producing tensors times m, queries and norms corrected.

        Args:
            masks: m (U,) of every axis.
        Returns:
            the parameters that change, by name.
        """
        gated: dict[str, Tensor] = self.gating(masks, self._params)
        return gated

    def forward(self, image: Tensor, masks: Masks, mask_BN: Tensor | None = None) -> Output:
        """Compute the logits and, where patch tokens are masked, the reconstruction.

        Args:
            image: (B, C, height, width).
            masks: m (U,) of every axis.
            mask_BN: True = masked; None masks nothing.
        """
        tokens = self.backbone.tokens
        params = {f"net.{name}": value for name, value in self.gated_parameters(masks).items()}
        mask_token_E = self.decoder.mask_token_E * masks[tokens.stem_embedding]
        features, logits = self.run(self.body, params, (image, mask_BN, mask_token_E))
        if mask_BN is None:
            return Output(logits, None)
        if features.dim() == 3:  # (B, prefix + N, E); hierarchical families give (B, h, w, E)
            features = features[:, tokens.prefix :].reshape(len(features), *tokens.grid, -1)
        return Output(logits, self.decoder(features.permute(0, 3, 1, 2)))

    def expected_cost(self, terms: tuple[Part, ...], p: Probabilities) -> Tensor:
        """Compute E[cost] under p: exact, because the axes are independent and no term names one twice.

        Args:
            terms: the cost.
            p: as `probabilities` returns it.
        """
        expected: Tensor = self.costing(terms, p.padded)
        return expected

    def candidates(self, alive: Mapping[str, Tensor] | None = None) -> dict[str, list[Width]]:
        """List the living sizes of every axis; a decided axis has one.

        Args:
            alive: by axis, flags (I, J) bool in place of the axis' own.
        """
        flags = {name: mask.alive_IJ for name, mask in self.undecided.items()} | dict(alive or {})
        axes = self.backbone.axes
        return {axis.name: axis.living(flags[axis.name]) if axis.name in flags else [axis.size] for axis in axes}

    def fuse(self) -> nn.Module:
        """Build the plain timm network of the same function: gates and corrections folded into the weights.

        Raises:
            ValueError: some axis is undecided.
        """
        if self.undecided:
            raise ValueError(f"cannot fuse: these axes are undecided: {', '.join(self.undecided)}")
        with torch.no_grad():
            return rebuild(self.net, self.gated_parameters(self.unit_masks(self.probabilities(), 0.0)))

    def _batches(self) -> list[AxisBatch]:
        return [batch for batch in self.batches if isinstance(batch, AxisBatch)]

    def _batched_masks(self) -> list[tuple[AxisBatch, list[BiMask]]]:
        undecided = self.undecided
        return [(batch, [undecided[axis.name] for axis in batch.axes]) for batch in self._batches()]


def _fresh_mask(axis: Axis) -> BiMask | Gate:
    return BiMask(axis) if len(axis.candidates) > 1 else Gate(axis, torch.ones(axis.size.units))
