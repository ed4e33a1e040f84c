"""What cut units still said is predicted from the units that stay, and folded into the layer that reads them.

Closed form, no gradient. Shape suffixes: O outputs of the reading layer, U units that it reads, S kept, P cut units,
G = U + 1 (units and a constant 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.calibration.statistics import input_moments
from ofb_ray.method.axis import Keep

# Relative to the mean variance of a unit: keeps the regression stable where units are nearly dependent.
_RIDGE = 1e-8


def compensate(
    weight_OU: Tensor, bias_O: Tensor | None, kept_S: Tensor, moment_GG: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a linear layer that reads the kept units alone, closest to what it gave before.

    With x_P ~ B x_S + c in least squares over the calibration images, A_S <- A_S + A_P B and a <- a + A_P c. A layer
    without bias takes no constant: B is then fitted without c.

    Args:
        weight_OU, bias_O: of the layer, y = A x + a.
        kept_S: indices of the units that stay, ascending.
        moment_GG: E[x x^T] of [x; 1], float64.
    Returns:
        (O, S) and (O,) or None, in the dtype and on the device of the weight.
    """
    units = weight_OU.shape[1]
    cut_P = torch.ones(units, dtype=torch.bool).scatter_(0, kept_S.cpu(), False).nonzero().flatten()
    kept_S = kept_S.cpu()
    if not len(cut_P):
        return weight_OU, bias_O
    known = kept_S if bias_O is None else torch.cat([kept_S, torch.tensor([units])])
    gram = moment_GG[known][:, known].clone()
    variance = moment_GG.diagonal()[:units] - (0.0 if bias_O is None else moment_GG[units, :units] ** 2)
    gram.diagonal()[: len(kept_S)].add_(_RIDGE * variance.mean().clamp_min(1e-30))
    fit = torch.linalg.solve(gram, moment_GG[known][:, cut_P]).T  # (P, S) or (P, S + 1)
    change = weight_OU[:, cut_P.to(weight_OU.device)].double().cpu() @ fit
    weight_OS = weight_OU[:, kept_S.to(weight_OU.device)] + change[:, : len(kept_S)].to(weight_OU)
    return weight_OS, None if bias_O is None else bias_O + change[:, -1].to(bias_O)


def compensated_readers(
    net: nn.Module,
    backbone: Backbone,
    keeps: Mapping[str, Keep],
    images: Sequence[Tensor],
    params: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Make good in the readers of attentions and MLPs what their cut units said.

    Args:
        net: the network before the cut, in eval mode.
        keeps: the units that stay, by axis; embeddings are passed over.
        images: calibration images in batches, on the network's device.
        params: to compensate where they are not those of `net`, such as a supernet's before their rows are masked.
    Returns:
        weight and bias of each reader, at their old sizes; the columns of cut units are as they were.
    """
    readers = {
        name: reader_of(name, backbone)
        for name, keep in keeps.items()
        if backbone.axis(name).kind != "embedding" and len(keep.units_U) < keep.before.units
    }
    moments = input_moments(net, list(readers.values()), images) if readers else {}
    params, result = params or dict(net.named_parameters()), dict[str, Tensor]()
    for name, reader in readers.items():
        weight_OU, bias = params[f"{reader}.weight"].detach(), params.get(f"{reader}.bias")
        kept_S = keeps[name].units_U.to(weight_OU.device)
        bias_O = None if bias is None else bias.detach()
        weight_OS, new_O = compensate(weight_OU, bias_O, kept_S, moments[reader])
        result[f"{reader}.weight"] = weight_OU.index_copy(1, kept_S, weight_OS)
        if new_O is not None:
            result[f"{reader}.bias"] = new_O
    return result


def reader_of(axis: str, backbone: Backbone) -> str:
    """Name the linear layer that reads the units of an attention or an MLP."""
    return next(
        cut.param.removesuffix(".weight")
        for cut in backbone.cuts
        if cut.axis == axis and cut.dim == 1 and not cut.gate and not cut.per_head
    )
