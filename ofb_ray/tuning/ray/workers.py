"""A trial of several workers: rank 0 is Ray Tune's trial, the others are tasks in its placement group."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ofb_ray.config import Resources
from ofb_ray.errors import InputError
from ofb_ray.results.files import LOG_FILE
from ofb_ray.train.rendezvous import free_address
from ofb_ray.tuning.ray.job import Job
from ofb_ray.tuning.ray.process import logged, prepare_process, run_worker

# Gloo notices at once that a peer is gone; NCCL does not, so rank 0 ends itself when its exception does not come.
GRACE_SECONDS = 20


def placement(resources: Resources) -> Any:
    """Ask for one bundle per worker; the trial runs in the first. On one machine where they fit, else on several."""
    bundle = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        bundle["GPU"] = resources.gpus_per_worker
    return tune.PlacementGroupFactory([bundle] * resources.workers, strategy="PACK")


@contextlib.contextmanager
def team(job: Job) -> Iterator[None]:
    """Prepare this process as rank 0 and join it with its workers, each of which runs the same trial function.

    Raises:
        RuntimeError: a worker died; the trial goes on from its checkpoint when it is started again.
        InputError: a worker met bad input.
    """
    world = job.workers
    if world == 1:
        prepare_process(job)
        yield
        return
    address = free_address(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    group = ray.util.get_current_placement_group()
    assert group is not None
    references = [
        _worker.options(
            num_cpus=job.cpus,
            num_gpus=job.gpus,
            max_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
        ).remote(job, rank, address)
        for rank in range(1, world)
    ]
    prepare_process(job)  # imports torch, which takes seconds, while the workers do
    from ofb_ray.train.team import process_group

    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(references, done, job.folder / LOG_FILE), daemon=True)
    watch.start()
    try:
        with process_group(0, world, address):
            yield
        ray.get(references)
    except RuntimeError:
        _raise_bad_input(references)
        raise
    finally:
        done.set()
        for reference in references:
            ray.cancel(reference, force=True)


def _raise_bad_input(references: list[Any]) -> None:
    """Raise a worker's bad input, if that broke the connection: its answer comes a moment later."""
    ready, _ = ray.wait(references, num_returns=len(references), timeout=2)
    for reference in ready:
        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
        except ray.exceptions.RayError:
            continue  # a death, not an answer


@ray.remote
def _worker(job: Job, rank: int, address: str) -> None:
    """Run the trial as a worker beside rank 0. Its output goes to the trial's log."""
    from ofb_ray.train.team import process_group

    prepare_process(job)
    with logged(job), process_group(rank, job.workers, address):
        run_worker(job)


def _watch(references: list[Any], done: threading.Event, log: Path) -> None:
    """End this process if a worker died and no collective has noticed."""
    waiting = list(references)
    while waiting and not done.is_set():
        ready, waiting = ray.wait(waiting, timeout=2)
        for reference in ready:
            try:
                ray.get(reference)
            except Exception as error:
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"a worker ended: {str(error).splitlines()[0]}\n")
                if not done.wait(GRACE_SECONDS):
                    os._exit(1)
                return
