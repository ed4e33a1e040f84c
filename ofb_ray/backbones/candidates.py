"""The sizes that axes may take, as `search.space` has them; the defaults are those of the released code."""

from __future__ import annotations

from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Axis, Width


def steps(full: int, least: int, step: int) -> tuple[int, ...]:
    """List ascending candidates least, least + step, ...; the last one is always `full`."""
    return tuple(sorted({*range(min(least, full), full + 1, max(1, step)), full}))


def _least(full: int, share: float) -> int:
    """A share of `full`, rounded, but 0 only where the share is 0."""
    return max(round(full * share), 1 if share else 0)


def embedding_axis(name: str, full: int, space: SpaceSpec) -> Axis:
    """Make the axis of a residual stream (released code: range(D/2, D+1, min(D/32, 12)))."""
    step = space.embedding_step or max(1, min(full // 32, 12))
    choices = steps(full, _least(full, space.embedding_min), step) if space.embedding else (full,)
    return Axis(name, "embedding", (1,), choices, Width(1, full))


def attention_axis(name: str, heads: int, channels: int, space: SpaceSpec, *, can_go: bool = False) -> Axis:
    """Make the axis of an attention, its heads and channels per head searched jointly.

    Released code: heads range(2, H+1, 2), channels range(d/4, d+1, d/8).

    Args:
        can_go: whether timm's module runs without heads.
    Raises:
        InputError: `space` lets all heads go and the module does not run without.
    """
    if not space.head_min and not can_go:
        raise InputError(
            "this family's attention cannot run without heads; take `head_min: 1` with a small `channel_min`",
            key="search.space.head_min",
        )
    widths = steps(channels, _least(channels, space.channel_min), round(channels * space.channel_step))
    return Axis(name, "attention", steps(heads, space.head_min, space.head_step), widths, Width(heads, channels))


def mlp_axis(name: str, hidden: int, space: SpaceSpec) -> Axis:
    """Make the axis of an MLP's hidden units (released code: range(h/4, h+1, h/8))."""
    widths = steps(hidden, _least(hidden, space.mlp_min), round(hidden * space.mlp_step))
    return Axis(name, "mlp", (1,), widths, Width(1, hidden))
