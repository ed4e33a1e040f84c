"""Second moments of what layers read, streamed over calibration images without keeping activations.

Shape suffixes: N positions of all images, F features, G = F + 1 (features and a constant 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def input_moments(net: nn.Module, layers: Sequence[str], images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Stream images through a network and return E[x x^T] of the input [x; 1] of each named layer.

    Args:
        net: a network in eval mode; left as it is.
        layers: names of modules whose first argument is a tensor (..., F).
        images: batches (B, C, height, width), on the network's device.
    Returns:
        Per layer (G, G) in float64 on the CPU; the last row holds the mean and a 1.
    """
    totals: dict[str, Tensor] = {}
    counts = dict.fromkeys(layers, 0)

    def watch(name: str) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x_NF = inputs[0].detach().flatten(0, -2)
            x_NG = torch.cat([x_NF, x_NF.new_ones(len(x_NF), 1)], dim=1)
            total = (x_NG.T @ x_NG).double().cpu()
            totals[name] = totals[name] + total if name in totals else total
            counts[name] += len(x_NF)

        handles.append(net.get_submodule(name).register_forward_pre_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in layers:
            watch(name)
        with torch.no_grad():
            for batch in images:
                net(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: totals[name] / counts[name] for name in layers}
