"""A cut as one rebuild: what a smaller supernet takes over, and what it leaves as it was."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.config import SearchSpec
from ofb_ray.method.bimask import BiMask, Gate
from ofb_ray.search.checkpoint import restore_supernet, supernet_state
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import Pruned, prune
from ofb_ray.search.supernet import Supernet
from tests.nets import NETS, network, supernet

kinds = pytest.mark.parametrize("kind", sorted(NETS))


def cut(net: Supernet) -> Pruned:
    """Decide the first axis, leave the second alone, take the largest candidates of all others."""
    first, second, *others = net.undecided
    alive = {name: torch.ones_like(net.undecided[name].alive_IJ) for name in (first, *others)}
    alive[first].view(-1)[1:] = False
    for name in others:
        alive[name].view(-1)[-1] = False
    assert second not in alive
    return prune(net, make_search_optimizer(net, SearchSpec(), 10), alive, 0.3)


@kinds
def test_masks_keep_what_lives(kind: str) -> None:
    net = supernet(kind)
    first, second, *others = net.undecided
    pruned = cut(net)
    gate, same = pruned.net.mask(first), pruned.net.mask(second)
    assert isinstance(gate, Gate)
    score_U = net.undecided[first].score_U[pruned.keeps[first].units_U]
    assert torch.equal(gate.gate_U, 0.3 * score_U.sigmoid() + (1 - 0.3) * torch.ones_like(score_U))
    assert isinstance(same, BiMask)
    assert same is not net.mask(second)
    assert torch.equal(same.alpha_IJ, net.undecided[second].alpha_IJ)
    for name in others:
        before, after = net.undecided[name], pruned.net.undecided[name]
        assert after.axis.living(after.alive_IJ) == before.axis.living(before.alive_IJ)[:-1]
        kept = before.alive_IJ.clone()
        kept.view(-1)[-1] = False
        alive = after.alive_IJ.nonzero(as_tuple=True)
        assert torch.equal(after.alpha_IJ[alive], before.alpha_IJ[kept])
        assert torch.equal(after.score_U, before.score_U[pruned.keeps[name].units_U])


@kinds
def test_the_decoder_follows_the_embeddings(kind: str) -> None:
    net = supernet(kind)
    pruned = cut(net)
    tokens, keeps = net.backbone.tokens, pruned.keeps
    before, after = net.decoder, pruned.net.decoder
    every = {name: torch.arange(width.units) for name, width in net.backbone.widths.items()}
    kept = every | {name: keep.units_U for name, keep in keeps.items()}
    assert torch.equal(after.mask_token_E, before.mask_token_E[kept[tokens.stem_embedding]])
    assert torch.equal(after.conv.weight, before.conv.weight[:, kept[tokens.embedding]])
    assert after.conv.in_channels == len(kept[tokens.embedding])


@kinds
def test_a_cut_supernet_is_restored_from_its_state(kind: str) -> None:
    """A checkpoint builds the network that a cut built, with the same tensors."""
    pruned = cut(supernet(kind)).net
    dense = supernet(kind)
    again = restore_supernet(network(kind), dense.backbone, supernet_state(pruned))
    assert again.backbone.axes == pruned.backbone.axes
    found, wanted = again.state_dict(), pruned.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert again.undecided.keys() == pruned.undecided.keys()


def test_a_cut_keeps_the_mode_and_the_learning_rates() -> None:
    net = supernet("plain")
    optimizer = make_search_optimizer(net, SearchSpec(), 10)
    for group in optimizer.param_groups:
        group["lr"] = 0.125
    net.eval()
    name, mask = next(iter(net.undecided.items()))
    alive = torch.zeros_like(mask.alive_IJ)
    alive.view(-1)[0] = True
    pruned = prune(net, optimizer, {name: alive}, 0.3)
    assert not pruned.net.training
    assert {group["lr"] for group in pruned.optimizer.param_groups} == {0.125}
    gates = next(group["params"] for group in pruned.optimizer.param_groups if group["role"] == "gate")
    gate = pruned.net.mask(name)
    assert isinstance(gate, Gate)
    assert any(gate.gate_U is param for param in gates)
    of_optimizer = {id(param) for group in pruned.optimizer.param_groups for param in group["params"]}
    assert of_optimizer == {id(param) for param in pruned.net.parameters()}
