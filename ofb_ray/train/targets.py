"""Compare logits with their targets: labels, mixed labels, a teacher's logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from ofb_ray.config import DistillSpec, PhaseSpec
from ofb_ray.train.run import autocast


class Teacher:
    """A network in eval mode whose logits a student follows.

    Args:
        spec: share and temperature of its loss.
        net: on the student's device, with as many classes.
        seen: (mean, std) of each channel that the student's images are normalised by.
        wanted: (mean, std) that the teacher was trained with.
    """

    def __init__(
        self,
        spec: DistillSpec,
        net: nn.Module,
        seen: tuple[tuple[float, ...], tuple[float, ...]],
        wanted: tuple[tuple[float, ...], tuple[float, ...]],
    ) -> None:
        self.spec, self._net = spec, net.eval().requires_grad_(False)
        device = next(net.parameters()).device
        (mean, std), (own_mean, own_std) = (
            tuple(torch.tensor(value, device=device).view(1, -1, 1, 1) for value in pair) for pair in (seen, wanted)
        )
        self._scale, self._shift = std / own_std, (mean - own_mean) / own_std

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """Compute logits (B, classes) of images (B, C, height, width) that are normalised for the student."""
        with autocast(image.device):
            answer: Tensor = self._net(image * self._scale + self._shift)
        return answer.float()


def apply_mixup(image: Tensor, label: Tensor, classes: int, spec: PhaseSpec) -> tuple[Tensor, Tensor]:
    """Mix images and labels by mixup or cutmix, as the spec's alphas say.

    Args:
        image: (B, C, height, width).
        label: (B,) int64.
    Returns:
        Images, and labels (B, classes) if they are mixed; both as they are where both alphas are 0.
    """
    ways: list[nn.Module] = []
    if spec.mixup:
        ways.append(v2.MixUp(alpha=spec.mixup, num_classes=classes))
    if spec.cutmix:
        ways.append(v2.CutMix(alpha=spec.cutmix, num_classes=classes))
    if not ways:
        return image, label
    result: tuple[Tensor, Tensor] = v2.RandomChoice(ways)(image, label)
    return result


def task_loss(logits: Tensor, label: Tensor, smoothing: float, teaching: tuple[DistillSpec, Tensor] | None) -> Tensor:
    """Compute the loss of the task: cross-entropy, blended with the divergence from a teacher's logits.

    The teacher's part is T^2 KL(teacher / T || student / T), Hinton et al. 2015 (arXiv 1503.02531).

    Args:
        logits: (B, classes).
        label: (B,) int64, or mixed (B, classes).
        smoothing: of the labels, in [0, 1).
        teaching: share and temperature, and the teacher's logits (B, classes); None has no teacher.
    """
    loss = F.cross_entropy(logits, label, label_smoothing=smoothing)
    if teaching is None:
        return loss
    spec, wanted = teaching
    t = spec.temperature
    divergence = F.kl_div(
        (logits / t).log_softmax(dim=1), (wanted / t).log_softmax(dim=1), reduction="batchmean", log_target=True
    )
    return (1 - spec.share) * loss + spec.share * t**2 * divergence
