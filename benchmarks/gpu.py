"""Everything that needs a GPU, in one call: each benchmark in a process of its own, its last line collected.

    python -m benchmarks.gpu [--out FILE] [--skip NAME ...] [--limit SECONDS] [--cifar10 FOLDER --weights FILE]
    python -m benchmarks.gpu --toy

Step ratio, throughput and memory of DeiT-S at batch 128 and 256 in bf16, with and without torch.compile; the projected
days of an ImageNet search; decoded images per second; ViT-Tiny on CIFAR-10 at half of the MACs against its rivals,
three seeds (data and weights are downloaded unless named); two trials on half a GPU each. What wants a package that
this machine lacks is left out, with a line that says so.

`--toy` goes through all of it at sizes of seconds on a CPU, so that a call on a borrowed GPU does not fail for a reason
that shows without one; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SWEEP = Path(__file__).parent.parent / "sweeps" / "cifar10_vit_tiny.yaml"
STEP = ("benchmarks.supernet_step", "--pairs", "20")
RUNS: dict[str, tuple[str, ...]] = {
    "step-128": (*STEP, "--batch", "128"),
    "step-256": (*STEP, "--batch", "256"),
    "step-128-compiled": (*STEP, "--batch", "128", "--compile"),
    "step-256-compiled": (*STEP, "--batch", "256", "--compile"),
    "loading": ("benchmarks.data_loading",),
    "cifar10": ("benchmarks.digits_front", "--sweep", str(SWEEP), "--budgets", "0.5"),
    "shared": ("benchmarks.shared_gpu", "--rounds", "3"),
}
NEEDS = {"shared": ("ray", "optuna")}
SHORT = ("dense.epochs=1", "search.epochs=1", "finetune.epochs=1")
SMALL = ("data.image_size=32", "data.train_limit=48", "data.test_limit=16", *SHORT)
# Arguments after those of RUNS, which they replace, by benchmark.
TOY: dict[str, tuple[str, ...]] = {
    "benchmarks.supernet_step": ("--model", "test_vit", "--batch", "2", "--pairs", "1"),
    "benchmarks.data_loading": ("--images", "32", "--batch", "16", "--rounds", "1"),
    "benchmarks.digits_front": ("--seeds", "0", *(f"--set={change}" for change in SMALL)),
    "benchmarks.shared_gpu": ("--gpus", "0", "--rounds", "1", *(f"--set={change}" for change in SHORT)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here, too, after every benchmark")
    parser.add_argument("--skip", nargs="+", choices=RUNS, default=[])
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="end a benchmark that takes longer")
    parser.add_argument("--cifar10", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--weights", type=Path, help="of vit_tiny_patch16_224")
    parser.add_argument(
        "--toy", action="store_true", help="sizes of seconds; images and weights are noise unless named"
    )
    args = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in RUNS:
            if name in args.skip:
                continue
            if lacking := [package for package in NEEDS.get(name, ()) if not is_there(package)]:
                figures[name] = {"skipped": f"needs {' and '.join(lacking)}"}
                print(f"== {name}: skipped, it needs {' and '.join(lacking)}", flush=True)
            else:
                print(f"== {name}", flush=True)
                figures[name] = figures_of(command(name, args, Path(scratch)), args.limit)
            if args.out:
                args.out.write_text(json.dumps(figures, indent=1))
    print(json.dumps({"benchmark": "gpu", **figures}))


def command(name: str, args: argparse.Namespace, scratch: Path) -> list[str]:
    """Module and arguments of one benchmark."""
    arguments = [*RUNS[name], *(TOY[RUNS[name][0]] if args.toy else ())]
    if name != "cifar10":
        return arguments
    folder = args.cifar10 or (noise(scratch) if args.toy else None)
    changes: dict[str, object] = {}
    if folder:
        changes |= {"data.name": "folder", "data.root": folder, "data.download": "false"}
    if args.weights or args.toy:
        changes |= {"model.pretrained": "false"}
    if args.weights:
        changes |= {"model.weights": args.weights}
    arguments += [f"--set={key}={value}" for key, value in changes.items()]
    if not is_there("torch_pruning"):
        print("without its rivals from Torch-Pruning, which is not here", flush=True)
        arguments += ["--methods", "ofb", "uniform", "random"]
    return arguments


def is_there(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def noise(folder: Path) -> Path:
    """A few images, as CIFAR-10's folder has them."""
    from benchmarks.data_loading import made_folder

    for split, images in (("train", 48), ("test", 16)):
        made_folder(folder / split, images)
    return folder


def figures_of(command: list[str], limit: float | None) -> object:
    """Run a benchmark and return what its last line says, or how it ended.

    Args:
        limit: seconds after which it is killed with all its processes.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"ended after {limit:g} s", flush=True)
        _kill(process)
        printed, _ = process.communicate()
    except BaseException:  # this process is being ended: its group does not have the benchmark's
        _kill(process)
        raise
    print(printed, flush=True)
    lines = printed.splitlines()
    if process.returncode or not lines:
        return {"exit": process.returncode}
    return json.loads(lines[-1])


def _kill(process: subprocess.Popen[str]) -> None:
    """End a benchmark and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
