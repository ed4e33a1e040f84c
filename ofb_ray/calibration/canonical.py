"""The canonical basis: the same function, in a basis in which few units carry most of what flows.

A network's residual channels and head channels are an arbitrary basis: cutting one of them throws away a bit of
everything. Here they are re-parametrised exactly, so that unit i of an embedding is the i-th principal direction of
what its layer norms give, and unit i of a head is the i-th strongest direction of its score and of its output.

All in float64. Shape suffixes: E embedding, D channels of a head, F = copies x E features of a norm, G = F + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone, Norm, rebuild
from ofb_ray.calibration.rotations import FLOOR, align_scores, align_values, principal_rotation
from ofb_ray.calibration.statistics import input_moments
from ofb_ray.method.axis import Axis, Cut

Params = dict[str, Tensor]
# Biases of norms are of the order of 1; what is far above costs digits in single precision.
_LARGE = 1e3


def canonical(net: nn.Module, backbone: Backbone, images: Iterable[Tensor]) -> nn.Module:
    """Return a copy of a network in its canonical basis: same classes, names, shapes and outputs.

    An axis whose basis cannot be changed is left as it is: an embedding that a norm with weights writes to, or one that
    a norm reads whose weights could not be folded.

    Args:
        net: a network in eval mode.
        backbone: its description.
        images: a few hundred training images without augmentation, in batches (B, C, height, width).
    """
    params: Params = {name: param.detach().double().cpu() for name, param in net.named_parameters()}
    _fold_scales(params, backbone)
    folded = [norm for norm in backbone.norms if _fold_norm(params, norm)]
    rotatable = [axis for axis in backbone.axes if axis.kind == "embedding" and _can_rotate(axis, backbone, folded)]
    for axis in rotatable:
        _remove_mean(params, axis, backbone)
    moments = _moments(net, params, backbone.norms, images)
    for axis in backbone.axes:
        if axis.kind == "attention":
            attention = _attention(axis, backbone)
            _align_heads(params, attention, moments[attention.norm])
    for axis in rotatable:
        _rotate(params, axis, backbone, moments)
    like = dict(net.named_parameters())
    return rebuild(net, {name: value.to(like[name]) for name, value in params.items()})


def _moments(net: nn.Module, params: Params, norms: Sequence[Norm], images: Iterable[Tensor]) -> dict[str, Tensor]:
    """E[x x^T] of [x; 1], (G, G), for the output x of every norm, as the first layer behind it reads it."""
    like = dict(net.named_parameters())
    probe = rebuild(net, {name: value.to(like[name]) for name, value in params.items()}).eval()
    found = input_moments(probe, [norm.readers[0] for norm in norms], images)
    return {norm.name: found[norm.readers[0]] for norm in norms}


def _fold_scales(params: Params, backbone: Backbone) -> None:
    """Move LayerScale's gamma into the linear layer in front of it: y = gamma (A x + a) -> (gamma A) x + gamma a."""
    for scale in backbone.scales:
        gamma_E = params[scale.param]
        for name in (f"{scale.writer}.weight", f"{scale.writer}.bias"):
            if name in params:
                params[name] = params[name] * gamma_E.view(-1, *[1] * (params[name].dim() - 1))
        params[scale.param] = torch.ones_like(gamma_E)


def _fold_norm(params: Params, norm: Norm) -> bool:
    """Fold a norm's weight w and bias b into its readers: A n' + a with A <- A diag(w), a <- a + A_old b, w <- 1.

    A reader without bias, or one that also reads padding, takes no A b. The norm then keeps a bias c with
    A diag(w) c = A b for all such readers, usually b / w. Returns False, and changes nothing, where no c does.
    """
    weight_F, bias_F = params[f"{norm.name}.weight"], params[f"{norm.name}.bias"]
    old = {reader: params[f"{reader}.weight"] for reader in norm.readers}
    tiles = {reader: weight.shape[1] // len(weight_F) for reader, weight in old.items()}
    new = {reader: weight * weight_F.repeat(tiles[reader]) for reader, weight in old.items()}
    bare = [reader for reader in norm.readers if norm.padded or f"{reader}.bias" not in params]
    kept_F = torch.zeros_like(bias_F)
    if bare and bias_F.any():
        blocks = [(new[reader], old[reader], tiles[reader]) for reader in bare]
        left = torch.cat([_sum_tiles(matrix, tile) for matrix, _, tile in blocks])
        right = torch.cat([_sum_tiles(matrix, tile) for _, matrix, tile in blocks]) @ bias_F
        kept_F = _kept_bias(weight_F, bias_F, left, right)
        if not torch.allclose(left @ kept_F, right, rtol=1e-9, atol=1e-9 * float(right.abs().max())):
            return False
    for reader, weight in new.items():
        params[f"{reader}.weight"] = weight
        if reader not in bare:
            gap_F = old[reader] @ bias_F.repeat(tiles[reader]) - weight @ kept_F.repeat(tiles[reader])
            params[f"{reader}.bias"] = params[f"{reader}.bias"] + gap_F
    params[f"{norm.name}.weight"], params[f"{norm.name}.bias"] = torch.ones_like(weight_F), kept_F
    return True


def _kept_bias(weight_F: Tensor, bias_F: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """b / w; where some w is next to 0 the smallest c with `left` c = `right`, which a rotation does not drown."""
    ratio_F = bias_F / weight_F
    if ratio_F.isfinite().all() and ratio_F.abs().max() < _LARGE:
        return ratio_F
    solution: Tensor = torch.linalg.lstsq(left, right[:, None], driver="gelsd").solution
    return solution[:, 0]


def _sum_tiles(matrix: Tensor, tiles: int) -> Tensor:
    """(rows, tiles x F) -> (rows, F): what the matrix does to the same vector in every tile."""
    return matrix.view(len(matrix), tiles, -1).sum(dim=1)


def _can_rotate(axis: Axis, backbone: Backbone, folded: Sequence[Norm]) -> bool:
    plain = {f"{norm.name}.weight" for norm in folded}
    norms = [cut for cut in backbone.cuts if cut.axis == axis.name and cut.norm]
    return all(not cut.gate and cut.param in plain for cut in norms)


def _remove_mean(params: Params, axis: Axis, backbone: Backbone) -> None:
    """Take the mean over E from every writer of a stream: a layer norm over E never sees it.

    A norm over several copies (patch merging) does see how the copies' means differ, so nothing is taken there.
    """
    cuts = [cut for cut in backbone.cuts if cut.axis == axis.name]
    if any(cut.norm and cut.copies > 1 for cut in cuts):
        return
    for cut in cuts:
        if _writes(cut, backbone):
            params[cut.param] = params[cut.param] - params[cut.param].mean(dim=cut.dim, keepdim=True)


def _is_scale(cut: Cut, backbone: Backbone) -> bool:
    return any(cut.param == scale.param for scale in backbone.scales)


def _writes(cut: Cut, backbone: Backbone) -> bool:
    """Whether the tensor adds to the stream: masked where it does, except in front of a LayerScale."""
    if _is_scale(cut, backbone) or cut.norm:
        return False
    scaled = {f"{scale.writer}.{part}" for scale in backbone.scales for part in ("weight", "bias")}
    return cut.gate or cut.param in scaled


def _rotate(params: Params, axis: Axis, backbone: Backbone, moments: dict[str, Tensor]) -> None:
    """Turn a stream into its principal directions: writers <- R writer, readers <- reader R^T, with R 1 = 1."""
    size = axis.size.width
    found = [cut.param.removesuffix(".weight") for cut in backbone.cuts if cut.axis == axis.name and cut.norm]
    # In the order of the cuts: that of a set of names is another in every process, and with it the sum's last bits.
    norms = list(dict.fromkeys(found))
    total_EE = torch.zeros(size, size, dtype=torch.float64)
    for name in norms:
        total_EE += _diagonal_blocks(moments[name], size)
    rotation_EE = principal_rotation(total_EE)
    for cut in backbone.cuts:
        if cut.axis != axis.name or _is_scale(cut, backbone):
            continue
        if cut.norm:  # weight 1 stays 1; what is left of its bias turns with its output
            name = cut.param.removesuffix("weight") + "bias"
            params[name] = _along(params[name], 0, cut.copies, rotation_EE)
        elif cut.param.removesuffix(".bias") not in norms:
            params[cut.param] = _along(params[cut.param], cut.dim, cut.copies, rotation_EE)


def _along(tensor: Tensor, dim: int, copies: int, matrix_EE: Tensor) -> Tensor:
    """Apply a matrix to each of `copies` blocks of one dimension.

    A reader A of x reads R x as (A R^T) (R x): along that dimension this is R, too, as R^-T = R.
    """
    moved = tensor.movedim(dim, -1)
    turned = moved.reshape(*moved.shape[:-1], copies, moved.shape[-1] // copies) @ matrix_EE.T
    return turned.flatten(-2).movedim(-1, dim)


def _diagonal_blocks(moment_GG: Tensor, size: int) -> Tensor:
    """Sum of the (E, E) blocks on the diagonal of E[x x^T], the constant left out."""
    blocks = (len(moment_GG) - 1) // size
    parts = [moment_GG[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(blocks)]
    return torch.stack(parts).sum(dim=0)


@dataclass(frozen=True)
class _Attention:
    """Where the tensors of one attention are: (linear layer, first row) of q, k, v, the output layer, the norm."""

    axis: Axis
    q: tuple[str, int]
    k: tuple[str, int]
    v: tuple[str, int]
    out: str
    norm: str


def _attention(axis: Axis, backbone: Backbone) -> _Attention:
    """Read an attention off its cuts: query, key and value in the order of their copies."""
    own = [cut for cut in backbone.cuts if cut.axis == axis.name and cut.param.endswith(".weight")]
    rows = [
        (cut.param.removesuffix(".weight"), copy * axis.size.units)
        for cut in sorted((cut for cut in own if cut.gate), key=lambda cut: not cut.query)
        for copy in range(cut.copies)
    ]
    q, k, v = rows
    out = next(cut.param.removesuffix(".weight") for cut in own if cut.dim == 1)
    return _Attention(axis, q, k, v, out, next(norm.name for norm in backbone.norms if q[0] in norm.readers))


def _align_heads(params: Params, attention: _Attention, moment_GG: Tensor) -> None:
    """Sort the channels of every head by the strength of their part of the score and of the output."""
    values, vectors = torch.linalg.eigh(moment_GG)
    root_GG = vectors * values.clamp_min(FLOOR * values.max()).sqrt()
    width, out = attention.axis.size.width, f"{attention.out}.weight"
    for head in range(attention.axis.size.heads):
        channels = slice(head * width, (head + 1) * width)
        q, k, v = (_rows(params, place, channels) for place in (attention.q, attention.k, attention.v))
        for_q, for_k = align_scores(q @ root_GG, k @ root_GG)
        for_v, for_out = align_values(v @ root_GG, params[out][:, channels])
        for matrix, place in ((for_q, attention.q), (for_k, attention.k), (for_v, attention.v)):
            _apply_to_rows(params, place, channels, matrix)
        params[out] = params[out].clone()
        params[out][:, channels] = params[out][:, channels] @ for_out


def _rows(params: Params, place: tuple[str, int], channels: slice) -> Tensor:
    """[W b] of some rows of a linear layer, (D, G); b is 0 where the layer has none."""
    layer, first = place
    rows = slice(first + channels.start, first + channels.stop)
    weight = params[f"{layer}.weight"][rows]
    bias = params[f"{layer}.bias"][rows, None] if f"{layer}.bias" in params else weight.new_zeros(len(weight), 1)
    return torch.cat([weight, bias], dim=1)


def _apply_to_rows(params: Params, place: tuple[str, int], channels: slice, matrix_DD: Tensor) -> None:
    layer, first = place
    rows = slice(first + channels.start, first + channels.stop)
    for name in (f"{layer}.weight", f"{layer}.bias"):
        if name in params:
            params[name] = params[name].clone()
            params[name][rows] = matrix_DD @ params[name][rows]
