"""The files of sweeps/cluster are what Ray, Kubernetes and this project's own command line accept."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ofb_ray.cli import _parser
from ofb_ray.config import SweepSpec
from ofb_ray.config.load import load_sweep
from ofb_ray.tuning.ray.resources import check_nodes

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "sweeps" / "cluster"
RAY_UP = ["aws", "gcp"]
VERSION = re.findall(r"^ray\[tune\]==([\d.]+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[0]
# Fields of KubeRay's ray.io/v1 that the manifest uses, with the types that its API documents; `pod`: a pod template.
FIELDS: dict[str, dict[str, Any]] = {
    "RayJobSpec": {
        "entrypoint": str,
        "submissionMode": str,
        "backoffLimit": int,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "submitterPodTemplate": "pod",
        "rayClusterSpec": "RayClusterSpec",
    },
    "RayClusterSpec": {
        "rayVersion": str,
        "enableInTreeAutoscaling": bool,
        "autoscalerOptions": "AutoscalerOptions",
        "headGroupSpec": "HeadGroupSpec",
        "workerGroupSpecs": ["WorkerGroupSpec"],
    },
    "AutoscalerOptions": {"idleTimeoutSeconds": int, "upscalingMode": str},
    "HeadGroupSpec": {"rayStartParams": {str: str}, "template": "pod"},
    "WorkerGroupSpec": {
        "groupName": str,
        "minReplicas": int,
        "replicas": int,
        "maxReplicas": int,
        "rayStartParams": {str: str},
        "template": "pod",
    },
}


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def typed_lines(name: str) -> list[str]:
    """The three lines that a user types, from the head of a file."""
    lines = [line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#!")]
    return [line.removeprefix("#").strip() for line in lines[:3]]


def sweep_command(name: str) -> list[str]:
    """The arguments of `ofb-ray` in a file."""
    if name == "kuberay-rayjob.yaml":
        words = shlex.split(read(name)["spec"]["entrypoint"])
    elif name == "slurm.sh":
        return ["sweep", *shlex.split(typed_lines(name)[0])[2:], "--address", "auto"]
    else:
        words = shlex.split(shlex.split(typed_lines(name)[1])[-1])
    return words[words.index("ofb-ray") + 1 :]


def nodes_of(name: str) -> list[dict[str, float]]:
    """The resources of each worker node that a file's cluster may have at the most."""
    if name == "kuberay-rayjob.yaml":
        (group,) = read(name)["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        return [{"CPU": float(limits["cpu"]), "GPU": float(limits["nvidia.com/gpu"])}] * int(group["maxReplicas"])
    if name == "slurm.sh":
        text = (FOLDER / name).read_text()
        nodes, cpus, gpus = (
            int(re.findall(rf"^#SBATCH --{key}=(\d+)$", text, re.MULTILINE)[0])
            for key in ("nodes", "cpus-per-task", "gpus-per-node")
        )
        return [{"CPU": cpus, "GPU": gpus}] * nodes
    worker = read(name)["available_node_types"]["worker"]
    return [worker["resources"]] * int(worker["max_workers"])


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_file_begins_with_the_three_lines_that_a_user_types(path: Path) -> None:
    starts = ("ray ", "kubectl ", "docker ", "sbatch ", "tail ", "scancel ", "sed ", "ofb-ray ")
    lines = typed_lines(path.name)
    assert all(line.startswith(starts) for line in lines), lines
    named = [word for line in lines for word in re.findall(r"sweeps/\S+?\.(?:yaml|sh)|sweeps/cluster/Dockerfile", line)]
    assert named
    assert all((ROOT / word).is_file() for word in named)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml", "kuberay-rayjob.yaml", "slurm.sh"])
def test_its_sweep_command_is_ours_and_its_trials_fit_on_its_workers(name: str) -> None:
    arguments = _parser().parse_args(sweep_command(name))
    assert arguments.address == "auto"
    assert arguments.storage.startswith(("s3://", "gs://", "/shared/"))
    spec: SweepSpec = load_sweep(ROOT / arguments.file, arguments.set, None, arguments.storage)
    fits = check_nodes(spec, name, nodes_of(name))
    assert spec.resources.concurrent in (None, fits)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml", "kuberay-rayjob.yaml", "Dockerfile"])
def test_ray_is_the_version_of_the_requirements(name: str) -> None:
    text = (FOLDER / name).read_text()
    named = re.findall(
        r"rayproject/ray:([\d.]+)-|ofb-ray:([\d.]+)|ray\[default\]==([\d.]+)|rayVersion: \"([\d.]+)", text
    )
    assert {version for versions in named for version in versions if version} == {VERSION}


@pytest.mark.parametrize("cloud", RAY_UP)
def test_ray_up_takes_the_file(cloud: str) -> None:
    pytest.importorskip("jsonschema")
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read(f"{cloud}.yaml"))
    validate_config(config)
    assert config["provider"]["type"] == cloud
    types = config["available_node_types"]
    assert types["head"]["max_workers"] == 0
    assert sum(kind["max_workers"] for kind in types.values()) <= config["max_workers"]
    assert "--autoscaling-config" in " ".join(config["head_start_ray_commands"])
    installed = " ".join(config["worker_setup_commands"])
    assert "-r ofb_ray/requirements.txt" in installed
    assert config["file_mounts"] == {"/home/ray/ofb_ray": "."}


def test_aws_starts_its_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own launcher, against moto's EC2: a head on demand and a spot worker with the right to write to S3."""
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    (tmp_path / ".ssh").mkdir()
    with moto.mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        boto3: Any = importlib.import_module("boto3")
        bootstrap: Any = importlib.import_module("ray.autoscaler._private.aws.config").bootstrap_aws
        launcher: Any = importlib.import_module("ray.autoscaler._private.aws.node_provider").AWSNodeProvider
        from ray.autoscaler._private.util import prepare_config, validate_config

        config = bootstrap(prepare_config(read("aws.yaml")))
        validate_config({key: value for key, value in config.items() if key != "head_node"})
        provider = launcher(config["provider"], config["cluster_name"])
        kinds = launcher.fillout_available_node_types_resources(config)
        for kind in ("head", "worker"):
            provider.create_node(kinds["available_node_types"][kind]["node_config"], {"ray-node-type": kind}, 1)
        ec2 = boto3.client("ec2", region_name=config["provider"]["region"])
        instances = [i for group in ec2.describe_instances()["Reservations"] for i in group["Instances"]]
    by_type = {instance["InstanceType"]: instance for instance in instances}
    assert by_type["g5.2xlarge"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in by_type["m6i.xlarge"]
    assert by_type["g5.2xlarge"]["IamInstanceProfile"]["Arn"].endswith("ray-autoscaler-v1")


def check_fields(value: Any, kind: Any, place: str) -> list[tuple[str, Any]]:
    """Every field of `value` is known and of its type; returns the pod templates with their places."""
    if kind == "pod":
        return [(place, value)]
    if isinstance(kind, list):
        return [pod for i, item in enumerate(value) for pod in check_fields(item, kind[0], f"{place}[{i}]")]
    if isinstance(kind, dict):
        assert all(type(key) is str and type(item) is str for key, item in value.items()), place
        return []
    if isinstance(kind, str):
        pods = []
        for key, item in value.items():
            assert key in FIELDS[kind], f"{place}.{key}"
            pods += check_fields(item, FIELDS[kind][key], f"{place}.{key}")
        return pods
    assert type(value) is kind, place
    return []


def test_the_ray_job_has_the_fields_of_its_kind() -> None:
    job = read("kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job) == {"apiVersion", "kind", "metadata", "spec"}
    pods = check_fields(job["spec"], "RayJobSpec", "spec")
    assert len(pods) == 3
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for place, pod in pods:
        assert {mount["name"] for c in pod["spec"]["containers"] for mount in c.get("volumeMounts", [])} <= {
            volume["name"] for volume in pod["spec"].get("volumes", [])
        }, place
        validate = pytest.importorskip("kubernetes_validate").validate
        # Ray fills in what a pod of its own needs beside the template.
        validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod["spec"]}, "1.34", strict=True
        )


def test_the_slurm_script_is_sound() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    lines = [["bash", "-n"]] + ([[str(shellcheck)]] if shellcheck.exists() else [])
    for line in lines:
        answer = subprocess.run([*line, str(FOLDER / "slurm.sh")], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr
