"""Join the processes that train one network data-parallel; a single process is a team of one without a group."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ofb_ray.errors import TrialFailed

Value = TypeVar("Value")
# Longer than any one step, shorter than a night: a peer that is gone without closing its connection ends the wait.
TIMEOUT = timedelta(minutes=15)
# Of work that rank 0 does alone, such as measuring a table of latencies.
_LONG_TIMEOUT = timedelta(days=1)


@dataclass(frozen=True)
class Team:
    """This process among the workers of its trial.

    Args:
        rank: of this process, from 0.
        world: number of workers.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes files and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module, partly_used: bool = False) -> nn.Module:
        """Wrap `module` so that gradients are averaged over the team; its parameters become those of rank 0.

        Wrap anew after every cut: DistributedDataParallel keeps hooks on the parameters that it was given.

        Args:
            partly_used: whether a step may leave some parameters unused.
        """
        if self.world == 1:
            return module
        return DistributedDataParallel(module, forward_sync_buffers=False, find_unused_parameters=partly_used)

    def accumulate(self, module: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Enter this around forward and backward of a micro-batch: gradients are averaged after the last one only."""
        if isinstance(module, DistributedDataParallel) and not last:
            context: contextlib.AbstractContextManager[Any] = module.no_sync()
            return context
        return contextlib.nullcontext()

    def all_reduce_sum_(self, value: Tensor) -> Tensor:
        """Sum a tensor over the team, in place, and return it."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def all_reduce_mean_(self, values: Iterable[Tensor]) -> None:
        """Average every tensor over the team, in place."""
        if self.world > 1:
            for value in values:
                dist.all_reduce(value.data)
                value.data /= self.world

    def broadcast(self, value: Value) -> Value:
        """Return on every rank what rank 0 passes."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def from_main(self, make: Callable[[], Value]) -> Value:
        """Return on every rank what rank 0 makes, though it may take longer than `TIMEOUT`.

        Args:
            make: called on rank 0 alone. Where it raises, the other ranks fail as soon as rank 0 has ended.
        """
        if self.world == 1:
            return make()
        group: Any = dist.new_group(timeout=_LONG_TIMEOUT, backend="gloo")
        box = [make() if self.is_main else None]
        dist.broadcast_object_list(box, src=0, group=group)
        dist.destroy_process_group(group)
        value: Any = box[0]
        return value  # type: ignore[no-any-return]

    def check_equal(self, net: nn.Module) -> None:
        """Check that all ranks hold the same bits.

        Raises:
            TrialFailed: they do not.
        """
        if self.world == 1:
            return
        device = next(net.parameters()).device
        sums = [param.detach().contiguous().view(torch.int32).sum(dtype=torch.int64) for param in net.parameters()]
        mine = torch.stack(sums).to(device)
        low, high = mine.clone(), mine.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            names = [name for name, _ in net.named_parameters()]
            apart = [names[index] for index in (low != high).nonzero().flatten().tolist()]
            raise TrialFailed(f"the workers' parameters drifted apart: {', '.join(apart[:3])}; report this as a bug")


def current_team() -> Team:
    """Return the team of this process' process group, or a team of one."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextlib.contextmanager
def process_group(rank: int, world: int, address: str) -> Iterator[Team]:
    """Join a process group for as long as the block runs: NCCL on GPUs, else gloo.

    Args:
        rank: of this process.
        world: number of workers.
        address: host:port of rank 0, where they meet.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, f"tcp://{address}", TIMEOUT, world, rank)
    try:
        yield Team(rank, world)
    finally:
        dist.destroy_process_group()
