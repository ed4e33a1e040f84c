"""A calibration has equal bits in every process: Python's hash seed, another in each, orders its sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALIBRATE = """
import hashlib, sys, torch
from ofb_ray.backbones import describe_backbone
from ofb_ray.config import SearchSpec
from ofb_ray.data import load
from ofb_ray.search.calibrate import calibrate
from ofb_ray.train.run import Run
from tests.nets import SPACE, images, network
from tests.small import small_spec

class Split:
    def __len__(self): return 64
    def train_batches(self, plan, device):
        from ofb_ray.data import Batch
        yield Batch(images(64).double(), torch.arange(64) % 7, 0, 64, True)

torch.set_num_threads(1)
net = network(sys.argv[1]).double()  # all bits of the sums, not those that float32 keeps
run = Run("search", 0, torch.device("cpu"), lambda row, state: None)
found = calibrate(net, describe_backbone(net, SPACE), Split(), SearchSpec(calibration_images=64), run)
digest = hashlib.sha256()
for named in (found.net.state_dict(), found.scores, found.deltas):
    for name, value in named.items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("kind", ["plain", "swin", "tnt"])
def test_two_processes_calibrate_alike(kind: str) -> None:
    answers = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", CALIBRATE, kind], env=environment, capture_output=True, text=True, check=True
        )
        answers.add(done.stdout)
    assert len(answers) == 1
