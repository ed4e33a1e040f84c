"""Count the MACs of operators, to check the cost polynomials."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operator_macs(net: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of one forward pass on one image.

    torch counts 2 FLOPs a MAC and cannot see into fused attention kernels, so the math kernel runs here.

    Args:
        image_shape: (C, height, width).
    """
    was_training = net.training
    net.eval()
    image = next(net.parameters()).new_zeros(1, *image_shape)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(image)
    net.train(was_training)
    return int(counter.get_total_flops()) // 2
