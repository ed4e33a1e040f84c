"""What int8 costs, measured on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from ofb_ray.export.int8.loss import Loss, Scores, loss, score, scores


def made(right: list[float], probability: list[float]) -> Scores:
    return Scores(np.array(right), np.array(probability))


def test_scores_are_of_the_right_class() -> None:
    logits, labels = np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]]).astype(np.float32), np.array([0, 1])
    found = score(logits + 1000, labels)
    assert found.right.tolist() == [1.0, 0.0]
    assert found.probability == pytest.approx([0.7, 0.4], abs=1e-3)
    both = scores(lambda images: images, [(logits, labels), (logits[:1], labels[:1])])
    assert both.top1 == pytest.approx(200 / 3)
    assert len(both.probability) == 3


def test_a_loss_is_that_of_the_same_images_with_its_standard_error() -> None:
    found = loss(made([1, 1, 1, 0], [0.9, 0.8, 0.7, 0.2]), made([1, 0, 1, 0], [0.8, 0.4, 0.7, 0.3]))
    assert found.probability == pytest.approx(10.0)
    assert found.top1 == pytest.approx(25.0)
    assert found.error == pytest.approx(100 * np.std([0, 1, 0, 0]) / 2)


@pytest.mark.parametrize(
    ("probability", "top1", "error", "points"),
    [(0.1, 0.8, 0.5, 0.1), (0.1, 3.0, 0.5, 2.0), (1.5, 0.0, 0.1, 1.5), (-0.1, -0.5, 0.2, -0.1)],
    ids=["top-1 may be chance", "top-1 is not chance", "the probability falls", "a gain"],
)
def test_few_images_that_change_sides_by_chance_do_not_count(
    probability: float, top1: float, error: float, points: float
) -> None:
    assert Loss(probability, top1, error).points == pytest.approx(points)
