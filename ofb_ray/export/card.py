"""The model card and timm's `config.json` of an exported subnet, in the Hugging Face Hub's format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ofb_ray.backbones import describe_backbone
from ofb_ray.config import PHASES, SpaceSpec
from ofb_ray.export import loader
from ofb_ray.export.card_budget import budget_text
from ofb_ray.export.card_int8 import in_int8, int8_section
from ofb_ray.export.kept import MadeInt8
from ofb_ray.export.names import classes, classifying, label_names
from ofb_ray.export.network import Arch, dense_network
from ofb_ray.export.program import ONNX_FILE, OPSET, PROGRAM_FILE
from ofb_ray.method.axis import Width
from ofb_ray.results.records import Network, Record

_FOREIGN = ("tag", "license", "origin_url", "paper_name", "paper_ids", "notes", "description")
_CIFAR = ("cifar10", "cifar100")


def without_origin(config: dict[str, Any]) -> dict[str, Any]:
    """timm's `config.json` without what it says of the weights that timm knows under this architecture's name."""
    cleaned = {key: value for key, value in config["pretrained_cfg"].items() if key not in _FOREIGN}
    return {**config, "pretrained_cfg": cleaned}


def make_card(
    record: Record,
    arch: Arch,
    differences: Mapping[str, float],
    latency: Mapping[str, Any] | None,
    int8: MadeInt8 | None = None,
) -> str:
    """The text of `README.md`: YAML front matter, the record's facts, how to load it, and its limits.

    Args:
        differences: largest difference of a logit, by exported file.
        latency: the content of `latency.json`, or None.
        int8: the network in int8, if it was made.
    """
    parts = [
        f"---\n{_front_matter(record).to_yaml()}\n---",
        f"# {_name(record)}",
        _summary(record),
        _networks(record),
        budget_text(record),
        f"## Widths\n\n{_widths(arch)}",
        f"## Load it\n\n{_loading(differences)}",
        *filter(None, (classifying(arch), classes(label_names(record, arch)))),
        f"## How it was made\n\n{_making(record)}",
        f"## Limits\n\n{_limits(record)}",
    ]
    if latency is not None:
        parts.insert(-2, f"## Latency\n\n{_latency(latency)}")
    if int8 is not None:
        parts.insert(-2, int8_section(int8.facts, int8.latency, arch))
    return "\n\n".join(parts) + "\n"


def _name(record: Record) -> str:
    return f"{record.sweep or 'subnet'}-{record.trial:05d}"


def _front_matter(record: Record) -> ModelCardData:
    """No licence: that is for whoever publishes it to choose. No metric that was not measured."""
    name, data = str(record.spec["data"]["name"]), _data(record)
    on_hub = [data] if name.startswith("hfds/") or name in _CIFAR else None
    results = None
    if record.subnet is not None and record.subnet.top1_test is not None:
        results = [
            EvalResult(
                task_type="image-classification",
                dataset_type=data,
                dataset_name=data,
                dataset_split="test",
                metric_type="accuracy",
                metric_name="top-1 (%)",
                metric_value=record.subnet.top1_test,
            )
        ]
    return ModelCardData(
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "vision-transformer", "pruning", "ofb"],
        datasets=on_hub,
        model_name=_name(record) if results else None,
        eval_results=results,
    )


def _data(record: Record) -> str:
    """The data set's name; of a folder the last part of its path, for the rest is nobody's business."""
    data = record.spec["data"]
    if data["name"].startswith("memory:"):
        return "datasets passed in Python"
    return Path(data["root"]).name if data["name"] == "folder" else str(data["name"]).removeprefix("hfds/")


def _summary(record: Record) -> str:
    assert record.dense is not None
    assert record.subnet is not None
    share = record.subnet.macs / record.dense.macs
    return (
        f"A subnet of timm's `{record.spec['model']['name']}` with {100 * share:.1f} % of its MACs, found by OFB "
        "(“Once for Both”, CVPR 2024: one search for importance and sparsity) and fine-tuned."
    )


def _networks(record: Record) -> str:
    def cells(name: str, network: Network | None) -> list[str]:
        assert network is not None
        accuracies = (network.top1_test, network.top5_test, network.top1_val, network.top5_val)
        shown = ["" if value is None else f"{value:.2f}" for value in accuracies]
        return [name, *shown, f"{network.macs:,}", f"{network.params:,}"]

    head = ["", "top-1 test (%)", "top-5 test (%)", "top-1 val (%)", "top-5 val (%)", "MACs", "parameters"]
    table = _table(head, [cells("dense", record.dense), cells("**subnet**", record.subnet)])
    tested = record.subnet is not None and record.subnet.top1_test is not None
    told = "test was read once" if tested else "on a test split nothing is known"
    return f"{table}\n\n`val` is a held-out part of the training images, which chose the model; {told}."


def _widths(arch: Arch) -> str:
    """A row a module, a column a kind of axis: what is left of what the dense network has."""
    dense = describe_backbone(dense_network(arch), SpaceSpec()).widths
    columns: list[str] = []
    rows: dict[str, dict[str, str]] = {}
    lines = []
    for axis, size in arch["widths"].items():
        left, full = _size(Width(size["heads"], size["width"])), _size(dense[axis])
        owner, _, kind = axis.rpartition(".")
        if axis.startswith("embed"):
            lines.append(f"`{axis}`: {left} of {full} channels")
            continue
        if kind not in columns:
            columns.append(kind)
        rows.setdefault(owner, {})[kind] = f"{left} of {full}" if size["heads"] * size["width"] else "gone"
    body = [[f"`{owner}`", *(cells.get(kind, "") for kind in columns)] for owner, cells in rows.items()]
    legend = "Attention is heads x channels of a head, an MLP its hidden channels."
    return f"{'; '.join(lines)}. {legend}\n\n{_table(['', *columns], body)}"


def _size(width: Width) -> str:
    return str(width.width) if width.heads == 1 else f"{width.heads} x {width.width}"


def _loading(differences: Mapping[str, float]) -> str:
    source = Path(loader.__file__).read_text(encoding="utf-8").strip()
    files = {
        ONNX_FILE: f"`{ONNX_FILE}`: ONNX, opset {OPSET}, input `images`, output `logits`, any batch size",
        PROGRAM_FILE: f"`{PROGRAM_FILE}`: `torch.export.load(...).module()`, any batch size",
    }
    lines = [f"- {files[name]}; logits within {value:.1e} of the network's." for name, value in differences.items()]
    return (
        'With ofb_ray: `net = ofb_ray.load("FOLDER")`. With timm, torch and safetensors alone:\n\n'
        f"```python\n{source}\n```\n\n"
        "It is a plain timm model in eval mode, which can be fine-tuned further; "
        "`timm.data.resolve_model_data_config(net)` tells how it wants its images. From the Hub: "
        '`load(huggingface_hub.snapshot_download("USER/NAME"))`. timm\'s own `hf-hub:` loader builds the dense network '
        "and refuses these smaller tensors." + ("\n\n" + "\n".join(lines) if lines else "")
    )


def _making(record: Record) -> str:
    spec, environment = record.spec, record.environment
    counts = [f"{environment[key]:,} {key.removesuffix('_images')}" for key in _COUNTS if environment.get(key)]
    epochs = {name: spec[name]["epochs"] for name in PHASES}
    phases = [f"{name} {count} epochs" for name, count in epochs.items()]
    if link := spec.get("chain"):
        first = f"search {epochs['search']} epochs at the first budget"
        phases[1] = f"{first}, {link['epochs']} at each of the {len(link['above'])} further ones down to this"
    times = [f"{name} {value:.0f} s" for name, value in record.seconds.items()]
    start = "timm's pretrained weights" if spec["model"].get("pretrained") else "random weights"
    if spec["model"].get("weights"):
        start = f"the weights `{Path(spec['model']['weights']).name}`"
    versions = [f"{name} {environment[name]}" for name in _VERSIONS if environment.get(name)]
    facts = {
        "Data": f"`{_data(record)}` at {spec['data']['image_size']} px ({', '.join(counts)} images)",
        "Start": start,
        "Phases": "; ".join(phases),
        "Wall time": "; ".join(times),
        "Explored": ", ".join(f"`{key}` = {value}" for key, value in record.params_explored.items()),
        "Seed": str(record.seed),
        "Trial key": f"`{record.key}`",
        "Versions": ", ".join(versions),
        "Device": f"{environment.get('device', '')} ({environment.get('device_name', '')})",
    }
    lines = [f"- {name}: {text}" for name, text in facts.items() if text]
    return "\n".join(lines) + "\n\n`record.json` has the whole specification and the history of every epoch."


_COUNTS = ("train_images", "val_images", "test_images")
_VERSIONS = ("ofb_ray", "python", "torch", "torchvision", "timm")


def _limits(record: Record) -> str:
    lines = [
        f"One training run with one seed ({record.seed}): no spread is known.",
        f"Accuracy is known on `{_data(record)}` alone.",
        "No licence is stated here; that of the data and of any pretrained weights applies.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _latency(latency: Mapping[str, Any]) -> str:
    rows = {(row["backend"], row["batch"], row["network"]): row for row in latency["rows"]}

    def cell(row: Mapping[str, Any]) -> str:
        return f"{row['median_ms']:.2f} ({row['low_ms']:.2f} to {row['high_ms']:.2f})"

    body = []
    for each in latency["ratios"]:
        dense, subnet = (rows[each["backend"], each["batch"], name] for name in ("dense", "subnet"))
        speed = f"{subnet['images_per_second']:.1f}"
        ratios = [time_ratio(each), f"{each['mac_ratio']:.3f}"]
        body.append([each["backend"], str(each["batch"]), cell(dense), cell(subnet), speed, *ratios])
    head = ["backend", "batch", "dense (ms)", "subnet (ms)", "subnet images/s", "time ratio", "MAC ratio"]
    place = f"{latency['device_name']}, threads: {latency['threads']}, images {latency['input_size']}"
    versions = ", ".join(f"{name} {version}" for name, version in latency["versions"].items())
    told = f"{place}; {versions}. Medians with 10 and 90 % quantiles of one interleaved run."
    small = in_int8(latency)
    return f"{told}\n\n{_table(head, body)}" + (f"\n\n{small}." if small else "")


def time_ratio(ratio: Mapping[str, Any]) -> str:
    """An entry of the `ratios` of `latency.json`: the median and, in brackets, the 10 and 90 % quantiles."""
    return f"{ratio['time_ratio']:.3f} ({ratio['time_ratio_low']:.2f} to {ratio['time_ratio_high']:.2f})"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        yield _row(head)
        yield _row(["---"] * len(head))
        yield from (_row(row) for row in body)

    return "\n".join(lines())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
