"""Time of several networks in one interleaved run: A B C, A B C, ... so that a busy machine slows all alike."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ofb_ray.errors import InputError
from ofb_ray.export.program import INPUT, onnx_bytes, onnx_session

Backend = Literal["torch", "compile", "onnxruntime", "onnxruntime-int8"]
INT8: Backend = "onnxruntime-int8"
# What is timed where nothing is asked for: an int8 network needs images to be made.
BACKENDS: tuple[Backend, ...] = tuple(name for name in get_args(Backend) if name != INT8)
Call = Callable[[], object]
Clock = Callable[[], float]
_WARM_UP = 3
_LEAST_ROUNDS = 15
_STABLE = 0.01
_LEAST_CALL_SECONDS = 2e-3


@dataclass(frozen=True)
class Times:
    """Seconds of one batch, one value a round; `rounds` of all networks of a run belong together."""

    seconds: NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def interval(self) -> tuple[float, float]:
        """The 10 and 90 % quantiles."""
        low, high = np.quantile(self.seconds, [0.1, 0.9])
        return float(low), float(high)


def run_interleaved(
    calls: Mapping[str, Call],
    *,
    cap_seconds: float,
    least_rounds: int = _LEAST_ROUNDS,
    clock: Clock = time.perf_counter,
) -> dict[str, Times]:
    """Time every call once a round, in turn, until each median is known within 1 % or `cap_seconds` have passed.

    A call that is too short for the clock is repeated within its turn. Three rounds are timed even if the cap comes
    first.

    Args:
        cap_seconds: by the clock on the wall, whatever `clock` is.
        least_rounds: before the medians are looked at.
        clock: what is timed; `time.process_time` counts the cores' time where other work keeps them busy.
    """
    repeats = {}
    for name, call in calls.items():
        for _ in range(_WARM_UP - 1):
            call()
        repeats[name] = max(1, math.ceil(_LEAST_CALL_SECONDS / max(_seconds(call, 1, clock), 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end, rounds = time.perf_counter() + cap_seconds, 0
    while True:
        for name, call in calls.items():
            seconds[name].append(_seconds(call, repeats[name], clock))
        rounds += 1
        settled = rounds >= least_rounds and all(map(_is_stable, seconds.values()))
        if settled or (rounds >= 3 and time.perf_counter() > end):
            return {name: Times(np.array(values)) for name, values in seconds.items()}


def _seconds(call: Call, repeats: int, clock: Clock) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def _is_stable(seconds: Sequence[float]) -> bool:
    """Whether half the 95 % confidence interval of the median (order statistics, binomial) is below 1 % of it."""
    ranked, count = sorted(seconds), len(seconds)
    spread = 0.98 * math.sqrt(count)
    low, high = math.floor(count / 2 - spread), math.ceil(count / 2 + spread)
    if low < 0 or high >= count:
        return False
    return (ranked[high] - ranked[low]) / 2 <= _STABLE * ranked[count // 2]


def make_call(net: nn.Module | bytes, images: Tensor, backend: Backend) -> Call:
    """One forward pass of `net` (eval mode, on the device of `images`) by a backend; on a GPU it waits for the end.

    `onnxruntime` takes as many threads as torch has, and stops them from spinning between calls, which would take the
    cores of the network that is timed next. It runs on a GPU where it has the provider for it.

    Args:
        net: or an ONNX file's bytes, which only onnxruntime runs.
    Raises:
        InputError: the backend cannot run on this device.
    """
    if backend in ("onnxruntime", INT8) or isinstance(net, bytes):
        return _onnx_call(net, images)
    run: Callable[[Tensor], object] = net
    if backend == "compile":
        # Of its own: one compiled network must neither count nor guard for another of the same class.
        run = torch.compile(net, dynamic=False, isolate_recompiles=True)  # type: ignore[call-overload]

    def call() -> None:
        with torch.inference_mode():
            run(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    return call


def check_backend(backend: Backend, device: torch.device) -> None:
    """Raises InputError where a backend lacks what it needs on this machine."""
    if backend in ("onnxruntime", INT8):
        onnx_provider(device)
    if backend == INT8 and device.type != "cpu":
        raise InputError(f"{INT8} runs on a CPU: set CUDA_VISIBLE_DEVICES= or leave the backend out", key="--backend")
    if backend == "compile" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise InputError("torch.compile needs a C++ compiler; install g++ or leave the backend out", key="--backend")


def onnx_provider(device: torch.device) -> str:
    """The provider by which onnxruntime runs on a device.

    Raises:
        InputError: this onnxruntime has none for it.
    """
    provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise InputError(
            f"onnxruntime has no {provider}; install onnxruntime-gpu or leave the backend out", key="--backend"
        )
    return provider


def _onnx_call(net: nn.Module | bytes, images: Tensor) -> Call:
    model = net if isinstance(net, bytes) else onnx_bytes(net, images.shape[1:])
    session = onnx_session(model, onnx_provider(images.device), session__force_spinning_stop="1")
    inputs: dict[str, Any] = {INPUT: images.cpu().numpy()}
    return partial(session.run, None, inputs)
