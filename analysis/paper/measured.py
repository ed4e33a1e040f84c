"""Read from the records what a paper's table needs: settings over seeds, and what they were run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.fronts.budgets import order
from analysis.fronts.seeds import Setting, Spread, most_seeds, settings, spread
from analysis.trials.compare import spec_value, spec_without
from analysis.trials.trial import Results, Trial
from ofb_ray.results.history import images_of
from ofb_ray.results.records import Network, Record

# What an ablation changes, with the values of the full method (ofb_ray.config.train).
FULL_METHOD: dict[str, Any] = {
    "search.recipe": "paper",
    "search.mask": "both",
    "search.entropy": True,
    "search.variance": True,
    "search.pmim.mode": "progressive",
}
IMAGENET_IMAGES = 1_281_167
_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
# Arguments that the data set or the training decides, not the network's shape.
_NO_SHAPE = {"num_classes", "in_chans", "img_size", "drop_path_rate"}


def full_method(results: Results) -> list[Setting]:
    """List the settings in which nothing of the method is switched off: one for each budget and point of the grid.

    Of several that a sampler suggested, it is the selected one: the most seeds, then the highest top-1 val.
    """
    cells: dict[tuple[str, str, tuple[str, str, int]], list[Setting]] = {}
    for each in settings(results):
        # A sampler may have suggested the switch itself: then the seeds of a setting need not agree on it.
        records = [trial.record for trial in each.trials if trial.record]
        if all(spec_value(record, key) in (wanted, None) for record in records for key, wanted in FULL_METHOD.items()):
            cells.setdefault((each.experiment, each.name, each.budget), []).append(each)
    return [min(most_seeds(same), key=order) for same in cells.values()]


def first(setting: Setting) -> Record:
    """Return the record of a setting's first seed: all but the seed and the results is the same in the others."""
    record = setting.trials[0].record
    assert record is not None
    return record


def rest(record: Record, keys: tuple[str, ...]) -> str:
    """Return the spec without seed, budget, explored values and these keys, as text that can be compared."""
    return spec_without(record, ("seed", "budget", *record.params_explored, *keys))


def over(trials: tuple[Trial, ...], of: Callable[[Record], float | None]) -> Spread | None:
    """Spread a quantity over the seeds."""
    return spread([of(trial.record) for trial in trials if trial.record])


def subnet(column: str) -> Callable[[Record], float | None]:
    """Return a getter of a column of the record's subnet."""
    return lambda record: _of(record.subnet, column)


def dense(column: str) -> Callable[[Record], float | None]:
    """Return a getter of a column of the record's dense network."""
    return lambda record: _of(record.dense, column)


def is_imagenet(record: Record) -> bool:
    """Whether the trial learned from ImageNet-1k: the one data set of 1,281,167 training images."""
    learned, held_out = images_of(record, "train") or 0, images_of(record, "val") or 0
    images = (spec_value(record, "data.train_images"), learned + held_out)
    return IMAGENET_IMAGES in images and spec_value(record, "data.train_limit") is None


def start_of(record: Record) -> str:
    """Return the fairness class of a trial, a key of `analysis.names.STARTS`.

    `teacher`: distilled weights, or a teacher in any phase. `extra-data`: pretrained weights whose tag, or the default
    one of their name in timm, tells of more than ImageNet-1k. Else `plain`.
    """
    name, _, tag = str(spec_value(record, "model.name")).partition(".")
    if "distilled" in name or any(spec_value(record, f"{phase}.distill") for phase in ("dense", "search", "finetune")):
        return "teacher"
    if not (spec_value(record, "model.pretrained") or spec_value(record, "model.weights")):
        return "plain"
    in1k = tag.endswith("in1k") and "_ft_" not in tag if tag else name.startswith(("deit", "swin_tiny"))
    return "plain" if in1k else "extra-data"


def is_transfer(record: Record) -> bool:
    """Whether pretrained weights were taken to another data set."""
    return bool(spec_value(record, "model.pretrained") or spec_value(record, "model.weights")) and not is_imagenet(
        record
    )


def is_swin(record: Record) -> bool:
    """Whether the network is a Swin Transformer."""
    return str(spec_value(record, "model.name")).startswith("swin")


def data_name(record: Record) -> str:
    """Name the data set: of a folder its name, and CIFAR as papers write it."""
    if is_imagenet(record):
        return "ImageNet-1k"
    name = str(spec_value(record, "data.name"))
    root = spec_value(record, "data.root")
    if name == "folder" and isinstance(root, str):
        name = Path(root).name
    return _NAMES.get(name, name)


def data_label(record: Record) -> str:
    """Describe the data, `digits, 8 px, 719 images`: the set, its image size and the images that were learned from."""
    size, images = spec_value(record, "data.image_size"), images_of(record, "train")
    return data_name(record) + (f", {size} px" if size else "") + (f", {images} images" if images else "")


def model_label(record: Record) -> tuple[str, str]:
    """Return the network's name without its pretrained tag, and what of its shape was changed, or nothing."""
    name = str(spec_value(record, "model.name")).partition(".")[0]
    args = spec_value(record, "model.args")
    shape = {k: v for k, v in args.items() if k not in _NO_SHAPE} if isinstance(args, dict) else {}
    changed = ", ".join(f"{key} {shape[key]}" for key in sorted(shape))
    return name, changed


def unfinished(results: Results) -> list[str]:
    """Say which trials are in no table, in a sentence, or nothing."""
    lost = [
        f"{count} {status}"
        for status in ("failed", "stopped", "died", "running", "queued", "unreadable")
        if (count := len(results.by_status(status)))
    ]
    over_budget = sum(not trial.met_budget for trial in results.by_status("finished"))
    lost += [f"{over_budget} over budget"] * bool(over_budget)
    return [f"Of {len(results.trials)} trials these are in no row: {', '.join(lost)}."] if lost else []


def _of(network: Network | None, column: str) -> float | None:
    value = getattr(network, column, None)
    return None if value is None else float(value)
