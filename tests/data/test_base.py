"""The order of a pass, its parts, and what is held out."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.data import steps
from ofb_ray.data.base import EpochPlan, epoch_order, own_part, stratified
from tests.data.making import CPU, one_pass, pixels, ten


def test_stratified_is_a_partition_and_a_function_of_its_seed() -> None:
    labels = torch.arange(100) % 7
    rest, held = stratified(labels, 0.2, 3)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(100))
    assert torch.equal(stratified(labels, 0.2, 3)[1], held)
    assert not torch.equal(stratified(labels, 0.2, 4)[1], held)


def test_batches_cover_the_split_once_and_depend_on_the_seed() -> None:
    split = ten()
    batches = one_pass(split, EpochPlan(4, seed=1))
    assert [len(batch.label) for batch in batches] == [4, 4, 2] == [4] * (steps(10, 4) - 1) + [2]
    order = torch.cat([batch.label for batch in batches])
    assert order.sort().values.tolist() == list(range(10))
    assert torch.equal(pixels(batches), split.images[order].float())
    assert torch.equal(order, torch.cat([batch.label for batch in one_pass(split, EpochPlan(4, seed=1))]))
    assert not torch.equal(order, torch.cat([batch.label for batch in one_pass(split, EpochPlan(4, seed=2))]))
    assert torch.cat([label for _, label in split.test_batches(4, CPU)]).tolist() == list(range(10))


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 3), (2, None), (3, 1), (4, None)])
def test_parts_of_all_workers_are_the_steps_of_one(world: int, micro: int | None) -> None:
    split = ten(crop_flip=True)
    whole = one_pass(split, EpochPlan(4, seed=5))
    ranks = [one_pass(split, EpochPlan(4, 5, micro, rank, world)) for rank in range(world)]
    for step in range(steps(10, 4, world)):
        found, shares = torch.empty_like(whole[step].image), 0.0
        for batches in ranks:
            ends = [index for index, batch in enumerate(batches) if batch.last]
            for batch in batches[0 if step == 0 else ends[step - 1] + 1 : ends[step] + 1]:
                found[batch.first : batch.first + len(batch.label)] = batch.image
                shares += batch.share
        assert torch.equal(found, whole[step].image)
        assert shares == pytest.approx(1)


def test_a_last_step_needs_an_image_for_every_worker() -> None:
    assert [steps(10, 4, world) for world in (1, 2, 3)] == [3, 3, 2]
    assert [len(one_pass(ten(), EpochPlan(4, 0, None, rank, 3))) for rank in range(3)] == [2, 2, 2]


def test_workers_share_the_test_images_without_overlap() -> None:
    assert torch.cat([own_part(10, rank, 3) for rank in range(3)]).tolist() == list(range(10))


def test_repeated_images_stand_side_by_side_and_a_pass_keeps_its_length() -> None:
    order = epoch_order(10, 0, repeated=3)
    assert order.tolist() == epoch_order(10, 0).repeat_interleave(3)[:10].tolist()
