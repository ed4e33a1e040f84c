"""Everything that needs a GPU, in one call: each benchmark in a process of its own, its last line collected.

    python -m benchmarks.gpu [--out FILE] [--skip NAME ...] [--cifar10 FOLDER --weights FILE]

Step ratio, throughput and memory of DeiT-S at batch 128 and 256 in bf16, with and without torch.compile; the projected
days of an ImageNet search; decoded images per second; ViT-Tiny on CIFAR-10 at half of the MACs against its rivals,
three seeds (data and weights are downloaded unless named); two trials on half a GPU each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

STEP = ("benchmarks.supernet_step", "--pairs", "20")
RUNS: dict[str, tuple[str, ...]] = {
    "step-128": (*STEP, "--batch", "128"),
    "step-256": (*STEP, "--batch", "256"),
    "step-128-compiled": (*STEP, "--batch", "128", "--compile"),
    "step-256-compiled": (*STEP, "--batch", "256", "--compile"),
    "loading": ("benchmarks.data_loading",),
    "cifar10": ("benchmarks.digits_front", "--sweep", "sweeps/cifar10_vit_tiny.yaml", "--budgets", "0.5"),
    "shared": ("benchmarks.shared_gpu", "--rounds", "3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here, too, after every benchmark")
    parser.add_argument("--skip", nargs="+", choices=RUNS, default=[])
    parser.add_argument("--cifar10", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--weights", type=Path, help="of vit_tiny_patch16_224")
    args = parser.parse_args()
    local: dict[str, Path | str | None] = {"data.root": args.cifar10, "model.weights": args.weights}
    if args.cifar10:
        local["data.name"] = "folder"
    figures: dict[str, object] = {}
    for name, arguments in RUNS.items():
        if name in args.skip:
            continue
        print(f"== {name}", flush=True)
        if name == "cifar10":
            arguments += tuple(f"--set={key}={value}" for key, value in local.items() if value)
        answer = subprocess.run([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
        print(answer.stdout, flush=True)
        lines = answer.stdout.splitlines()
        figures[name] = json.loads(lines[-1]) if not answer.returncode and lines else {"exit": answer.returncode}
        if args.out:
            args.out.write_text(json.dumps(figures, indent=1))
    print(json.dumps({"benchmark": "gpu", **figures}))


if __name__ == "__main__":
    main()
