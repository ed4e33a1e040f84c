"""What masked image modelling adds to a network: the mask token behind the stem, and a decoder of the features.

Shape suffixes: B images, C channels, N patches, E embedding, P patch side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Tokens
from ofb_ray.method.axis import Widths
from ofb_ray.method.pmim import replace_tokens


class Decoder(nn.Module):
    """PMIM's own parameters: the mask token and a 1 x 1 convolution E -> C P^2 followed by a pixel shuffle.

    Args:
        tokens: where the patch tokens are.
        widths: the current size of every axis.
    """

    def __init__(self, tokens: Tokens, widths: Widths) -> None:
        super().__init__()
        token = torch.empty(widths[tokens.stem_embedding].width)
        self.mask_token_E = nn.Parameter(nn.init.trunc_normal_(token, std=0.02))
        self.conv = nn.Conv2d(widths[tokens.embedding].width, tokens.channels * tokens.stride**2, 1)
        self.shuffle = nn.PixelShuffle(tokens.stride)

    def forward(self, features_BEhw: Tensor) -> Tensor:
        image: Tensor = self.shuffle(self.conv(features_BEhw))
        return image


class Body(nn.Module):
    """timm's forward in its two public halves, so that the features are at hand for PMIM."""

    def __init__(self, net: nn.Module, tokens: Tokens) -> None:
        super().__init__()
        self.net, self.tokens = net, tokens

    def forward(self, image: Tensor, mask_BN: Tensor | None, mask_token_E: Tensor) -> tuple[Tensor, Tensor]:
        # A hook for the length of one call puts the mask token in behind the stem, before positions are added.
        hook = None
        if mask_BN is not None:
            stem = self.net.get_submodule(self.tokens.stem)
            grid = self.tokens.grid
            hook = stem.register_forward_hook(
                lambda _m, _i, tokens: replace_tokens(tokens, _at_stem(mask_BN, grid, tokens), mask_token_E)
            )
        try:
            features = self.net.forward_features(image)  # type: ignore[operator]
        finally:
            if hook is not None:
                hook.remove()
        return features, self.net.forward_head(features)  # type: ignore[operator]


def _at_stem(mask_BN: Tensor, grid: tuple[int, int], tokens: Tensor) -> Tensor:
    """Give one flag per token of the stem: (B, N, E), finer than `grid` (B, h, w, E), or a patch's own (B N, n, E)."""
    if tokens.dim() == 4:
        rows, columns = tokens.shape[1] // grid[0], tokens.shape[2] // grid[1]
        return mask_BN.view(-1, *grid).repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    return mask_BN if len(tokens) == len(mask_BN) else mask_BN.reshape(-1, 1).expand(tokens.shape[:2])
