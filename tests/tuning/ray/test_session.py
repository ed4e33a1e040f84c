"""What a user reads who may not join a cluster, or whose cluster is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import ray

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.tuning.ray import session as sessions
from ofb_ray.tuning.ray.resources import check_nodes
from tests.cluster.nodes import ROOT, free_port

SPEC = SweepSpec.model_validate({"name": "s", "budgets": [0.5], "resources": {"gpus_per_worker": 1}})
VERSIONS = "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.11.7\nThis process has\n"


@pytest.mark.parametrize(
    ("raised", "said", "told"),
    [
        (ray.exceptions.AuthenticationError("no token"), b"", "wants its token: set RAY_AUTH_MODE=token"),
        (ConnectionError("failed"), b"RPC error: InvalidAuthToken: missing\n", "wants its token: set RAY_AUTH_MODE"),
        (RuntimeError(VERSIONS), b"", "Ray: 2.59.0 Python: 3.11.7 This process has: use the cluster's Python and Ray"),
        (ConnectionError("no node\nmore"), b"noise\n", "no Ray cluster answers: no node"),
    ],
)
def test_a_refusal_is_one_line_without_noise(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], raised: Exception, said: bytes, told: str
) -> None:
    def init(**_: Any) -> None:
        os.write(2, said)  # as Ray's C++ parts do
        raise raised

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError) as error, sessions.session(SPEC, "auto"):
        pass
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.key == "--address"
    assert capfd.readouterr().err == ""


def test_driving_from_outside_is_refused() -> None:
    with pytest.raises(InputError, match="ray job submit"), sessions.session(SPEC, "ray://head:10001"):
        pass


def test_only_a_sweep_that_says_how_many_waits_for_nodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes: list[dict[str, Any]] = [{"Alive": True, "Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(InputError, match=r"set resources\.concurrent if the cluster grows by itself"):
        sessions._cluster_slots(SPEC)
    resources = SPEC.resources.model_copy(update={"concurrent": 6})
    assert sessions._cluster_slots(SPEC.model_copy(update={"resources": resources})) == 6
    assert "a trial asks for 1 GPU, the cluster has 0 now: waiting for the cluster to grow" in capsys.readouterr().out
    nodes.append({"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}})
    assert sessions._cluster_slots(SPEC) == check_nodes(SPEC, "", [nodes[1]["Resources"]]) == 2


def test_a_lost_head_ends_the_process_with_a_line() -> None:
    code = (
        "import time; from ofb_ray.tuning.ray import head_watch as watch\n"
        "watch.PATIENCE_SECONDS, watch.PING_SECONDS = 1.0, 0.2\n"
        f"with watch.HeadWatch('127.0.0.1:{free_port()}'): time.sleep(30)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=25)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "is gone: its head has not answered for 1 s. To go on, run the same command with --resume" in answer.stderr
