"""Compress a timm network to a budget: dense as it is -> search -> fine-tune, on the device at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from ofb_ray import data as data_sets
from ofb_ray.backbones import describe_backbone
from ofb_ray.config import Budget, Json, SpaceSpec, TrialSpec
from ofb_ray.data import mapstyle
from ofb_ray.errors import InputError, TrialFailed
from ofb_ray.export import load_exported
from ofb_ray.library.identify import check_rebuilt, identify, save_weights
from ofb_ray.library.keywords import make_spec, trial_tree
from ofb_ray.library.progress import progress_bar
from ofb_ray.library.result import Compressed
from ofb_ray.results.records import read_record
from ofb_ray.trial import run_trial
from ofb_ray.trial.plan import plan

_SHARED = "shared"


@dataclass(frozen=True)
class Work:
    """A network and its data, made ready to be compressed to any budget.

    Args:
        tree: of the trial's spec, without a budget. folder: of all trials, and of what they share.
        temporary: the folder, where nobody named one. latency: how it is measured, for budgets that limit it.
    """

    tree: Json
    folder: Path
    temporary: TemporaryDirectory[str] | None
    latency: Mapping[str, Any] | None = None

    def spec(self, budget: Any) -> TrialSpec:
        """The spec of one budget, planned, so that what is wrong with it is said before anything is trained.

        Raises:
            InputError: the budget is below the smallest reachable network (it is named), or a key does not fit.
        """
        tree = {**self.tree, "budget": budget.model_dump() if isinstance(budget, Budget) else budget}
        if self.latency is not None:
            tree["latency"] = dict(self.latency)
        spec = make_spec(tree)
        plan(spec)
        return spec

    def run(self, spec: TrialSpec, folder: Path, title: str, quiet: bool, keep_search: bool = False) -> Compressed:
        """Run one trial, or go on with it, or read it where it is finished.

        Args:
            keep_search: another one goes on from its search.
        Raises:
            InputError: `folder` holds another trial. TrialFailed: it diverged.
        """
        finished = _finished(folder, spec)
        with progress_bar(title, quiet or finished) as report:
            record = run_trial(spec, report, folder, shared=self.folder / _SHARED, keep_search=keep_search)
        if record.status != "finished":
            raise TrialFailed(record.reason)
        return Compressed(load_exported(folder), record, folder, self.temporary)


def compress(
    net: nn.Module,
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    budget: float | Mapping[str, float] = 0.5,
    epochs: int | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **keys: Any,
) -> Compressed:
    """Compress a trained timm network to a budget; the network that is passed in stays as it is.

    Args:
        net: a network of `timm.create_model`, with its weights. It is the dense network, trained no further unless
            `dense={"epochs": ...}` says so.
        train: a map-style dataset of (image, label), or a name that `data.name` of a sweep knows. PIL images and uint8
            pixels are resized, normalised and (`data={"augment": ...}`) augmented; float tensors (C, height, width) are
            taken as they are.
        val: the images that select; None: `data={"val_share": ...}` of train is held out, 0.15 unless it is given.
        test: read once, at the end; None: accuracies on it stay empty.
        budget: share of the MACs, or one of {"macs_ratio", "gmacs", "params", "sparsity", "latency", "latency_ms"}:
            value.
        epochs: of the search and of fine-tuning, each, where `search={"epochs": ...}`, `finetune={"epochs": ...}` do
            not say.
        out: folder of the work. The same call with the same folder goes on after a crash, and returns at once where
            it was finished. None: a temporary one.
        quiet: no progress bar.
        keys: of a trial's spec: the sections `model`, `data`, `dense`, `search`, `finetune` and `latency` as mappings,
            `seed`, and single keys with two underscores for a dot, such as `search__space__keep=["blocks.0.*"]`.
    Raises:
        InputError: network, data or keys do not fit; one line.
        TrialFailed: training diverged.
    """
    with kept_random_state():
        work = prepare(net, train, val, test, epochs=epochs, out=out, **keys)
        return work.run(work.spec(budget), work.folder, "", quiet)


def kept_random_state() -> contextlib.AbstractContextManager[None]:
    """Leave torch's generators as they were: a trial seeds them."""
    return torch.random.fork_rng(list(range(torch.cuda.device_count())))


def prepare(
    net: nn.Module,
    train: Any,
    val: Any,
    test: Any,
    *,
    epochs: int | None,
    out: str | Path | None,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    dense: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    finetune: Mapping[str, Any] | None = None,
    latency: Mapping[str, Any] | None = None,
    seed: int | None = None,
    **dotted: Any,
) -> Work:
    """Check network, data and keys against each other, and lay the weights down in the folder of the work.

    Args: see `compress`.
    """
    describe_backbone(net, SpaceSpec())  # a family that cannot be cut is told before anything else
    sections = {"data": data, "dense": dense, "search": search, "finetune": finetune, "seed": seed}
    tree = trial_tree({**sections, "model": identify(net, model)}, dotted, epochs)
    tree["data"] = _data_tree(train, val, test, tree)
    _check_classes(make_spec({**tree, "budget": 1.0}))
    temporary = TemporaryDirectory(prefix="ofb-ray-") if out is None else None
    folder = Path(temporary.name if temporary else out or "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tree["model"]["weights"] = str(save_weights(net, folder))
    except OSError as error:
        raise InputError(f"cannot write there ({error.strerror}): name another folder", file=str(folder)) from None
    spec = make_spec({**tree, "budget": 1.0})
    args = spec.model.args
    check_rebuilt(net, spec.model, (args["in_chans"], args["img_size"], args["img_size"]))
    return Work(tree, folder, temporary, latency)


def _data_tree(train: Any, val: Any, test: Any, tree: Json) -> Json:
    """The section `data`: the name of the set, and the image size and channels of the network unless they are given."""
    args = tree["model"]["args"]
    stated = {"image_size": args["img_size"], **tree.get("data", {})}
    if isinstance(train, str):
        if val is not None or test is not None:
            raise InputError("a data set that is named brings its own parts: leave val and test out", key="data.name")
        return {**stated, "name": train}
    if args["in_chans"] in (1, 3):
        stated.setdefault("channels", args["in_chans"])
    return {**stated, "name": mapstyle.remember(train, val, test)}


def _check_classes(spec: TrialSpec) -> None:
    classes, outputs = data_sets.facts(spec.data).classes, spec.model.args["num_classes"]
    if classes != outputs:
        raise InputError(
            f"the network has {outputs} outputs, the data {classes} classes: give it a head of as many, "
            f'net.reset_classifier({classes}), and train it, dense={{"epochs": ...}}; or declare data={{"classes": '
            f"{outputs}}} where the data lacks the last of them",
            key="model.args.num_classes",
        )


def _finished(folder: Path, spec: TrialSpec) -> bool:
    """Whether the folder holds the record of this trial. `run_trial` would return that of another one, too."""
    record = read_record(folder)
    if record is not None and record.key != spec.key:
        raise InputError(
            f"{folder} holds the result of another call (other network, data or keys): name another folder", key="out"
        )
    return record is not None
