"""What the logits are compared with: mixed labels, a teacher's logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofb_ray.config import DistillSpec, PhaseSpec
from ofb_ray.train.targets import Teacher, apply_mixup, task_loss


@pytest.mark.parametrize("changes", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixing_keeps_the_mass_of_images_and_labels(changes: dict[str, float]) -> None:
    torch.manual_seed(0)
    image, label = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 8, 8).clone(), torch.arange(5)
    found, soft = apply_mixup(image, label, 5, PhaseSpec(**changes))
    assert soft.shape == (5, 5)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(5))
    assert not torch.equal(found, image)
    # Each image's mean is the mean of the class numbers under its label.
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), soft @ torch.arange(5.0))
    assert apply_mixup(image, label, 5, PhaseSpec()) == (image, label)


def test_a_teachers_loss_is_hintons() -> None:
    logits, wanted, label = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    spec = DistillSpec(share=0.25, temperature=2.0)
    p, q = (wanted / 2).softmax(dim=1), (logits / 2).softmax(dim=1)
    divergence = (p * (p / q).log()).sum(dim=1).mean()
    hard = F.cross_entropy(logits, label, label_smoothing=0.1)
    torch.testing.assert_close(task_loss(logits, label, 0.1, (spec, wanted)), 0.75 * hard + 0.25 * 4 * divergence)
    assert task_loss(logits, label, 0.1, None) == hard


def test_a_teacher_sees_images_as_it_was_trained() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, image: Tensor) -> Tensor:
            return image.mean(dim=(2, 3))

    pixels = torch.rand(2, 3, 4, 4)
    seen, wanted = ((0.5, 0.5, 0.5), (0.25, 0.5, 0.5)), ((0.1, 0.2, 0.3), (1.0, 2.0, 0.5))
    as_student = (pixels - 0.5) / torch.tensor(seen[1]).view(1, 3, 1, 1)
    as_teacher = (pixels - torch.tensor(wanted[0]).view(1, 3, 1, 1)) / torch.tensor(wanted[1]).view(1, 3, 1, 1)
    logits = Teacher(DistillSpec(), Mean(), seen, wanted).logits(as_student)
    torch.testing.assert_close(logits, as_teacher.mean(dim=(2, 3)))
