"""Describe where a trial ran and on what: versions, device, memory, images."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import ofb_ray
from ofb_ray.data import Dataset

_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy")
_NAMED = 20


def environment(device: torch.device) -> dict[str, Any]:
    """Collect versions, device, thread count, and the git commit of the working directory (None outside of one)."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    versions = {package: _version(package) for package in _PACKAGES}
    return {
        "ofb_ray": ofb_ray.__version__,
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def images(data: Dataset) -> dict[str, Any]:
    """Count the images of the splits and those that could not be read, and name some of these."""
    counts = {f"{name}_images": len(getattr(data, name)) for name in ("train", "val", "test")}
    return {**counts, "unreadable": len(data.unreadable), "unreadable_names": data.unreadable[:_NAMED]}


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak on a GPU; a process' peak on the CPU cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def gpu_seconds(device: torch.device, seconds: dict[str, float], workers: int) -> dict[str, float]:
    """Sum the seconds of all workers' GPUs by phase; empty on a CPU."""
    return {phase: each * workers for phase, each in seconds.items()} if device.type == "cuda" else {}


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of the tensors on a GPU, of the process' resident memory on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent process had before it started this one
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
