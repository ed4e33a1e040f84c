"""MACs as the operators count them: the check of every cost polynomial."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operator_macs(net: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one forward pass on one image (C, height, width).

    torch counts 2 FLOPs a MAC and cannot see into fused attention kernels, so the math kernel runs here.
    """
    was_training = net.training
    net.eval()
    image = next(net.parameters()).new_zeros(1, *image_shape)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(image)
    net.train(was_training)
    return int(counter.get_total_flops()) // 2
