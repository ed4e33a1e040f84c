"""Choose a sweep for the images, the network and the machine: image size, epochs, budgets, resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ofb_ray.commands.starter.images import Images
from ofb_ray.commands.starter.machine import GIB, Machine
from ofb_ray.commands.starter.network import Network
from ofb_ray.config import Json, SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.trial.plan import Plan, plan
from ofb_ray.trial.time_estimate import estimate_on_device
from ofb_ray.tuning.dry_run import seconds_in_all
from ofb_ray.tuning.ray.resources import this_machine

BUDGETS = (0.75, 0.6, 0.45, 0.3, 0.2)
# Without a GPU: loading and evaluation are not in the estimate, and the whole is to stay within an hour.
SECONDS = 2400.0
# Rather a smaller image than fewer of them; with fewer an ImageNet-trained ViT-Tiny lost on CIFAR-10 (docs/log.md).
IMAGES = 6000
SMALLER = (224, 192, 160, 128, 96, 64)
_TRAINED, _PLAIN = (6, 8, 8, 2), (30, 15, 10, 3)  # epochs: dense, search, fine-tuning, of each further budget
_STEPS, _MOST_TIMES = 40, 5.0  # of an epoch: with fewer there are more epochs, at most so many times
_LEAST_PART = 0.34
_TRIAL_BYTES = 2 * GIB
_SHARED_GPU_MACS = 3e9  # a network below leaves room for a second trial on its GPU


@dataclass(frozen=True)
class Sketch:
    """A sweep in the making.

    Args:
        limit: training images at most; None: all.
        epochs: of dense training, the search, fine-tuning, and the search of each further budget.
        budgets: shares of the dense MACs, falling.
        whole_gpu: whether a trial takes a GPU of its own.
    """

    name: str
    images: Images
    network: Network
    machine: Machine
    size: int
    limit: int | None
    epochs: tuple[int, int, int, int]
    budgets: tuple[float, ...] = BUDGETS
    whole_gpu: bool = False

    @property
    def held_out(self) -> float:
        """The share that selects: about a thousand images, a tenth at least and a fifth at most."""
        return round(min(0.2, max(0.1, 1000 / self.trained_on)), 2)

    @property
    def trained_on(self) -> int:
        """Training images, the held-out share included."""
        return min(self.limit or self.images.train, self.images.train)

    @property
    def test_limit(self) -> int | None:
        """Test images at most, where the training images are limited as well."""
        return IMAGES if self.limit is not None and self.images.test > IMAGES else None

    @property
    def batch(self) -> int:
        """64, or less where an epoch would have under eight steps."""
        batch = 64
        while batch > 8 and self.trained_on / batch < 8:
            batch //= 2
        return batch

    @property
    def cpus(self) -> int:
        """CPUs of a trial: dense training and the chain's search are one trial each, so few wide ones."""
        if self.machine.gpus:
            return max(1, min(8, self.machine.cpus // self.trials_at_a_time))
        return max(1, min(8, self.machine.cpus // 2))

    @property
    def gpu(self) -> float:
        """GPUs of a trial."""
        return 0 if not self.machine.gpus else 1 if self.whole_gpu else 0.5

    @property
    def trials_at_a_time(self) -> int:
        """As many as GPUs or CPUs serve."""
        if self.machine.gpus:
            return int(self.machine.gpus / self.gpu)
        return max(1, self.machine.cpus // self.cpus)

    @property
    def concurrent(self) -> int | None:
        """Trials at a time where memory allows fewer than the CPUs do."""
        fits = max(1, self.machine.memory // _TRIAL_BYTES)
        return fits if fits < self.trials_at_a_time else None

    @property
    def tree(self) -> Json:
        """The sweep as the tree of its file."""
        dense, search, finetune, link = self.epochs
        images, network = self.images, self.network
        model: Json = {"name": network.name}
        model |= {"args": network.args} if network.args else {}
        model |= {"pretrained": True} if network.pretrained else {}
        model |= {"weights": network.weights} if network.weights else {}
        data: Json = {"name": "folder", "root": images.root, "image_size": self.size, "val_share": self.held_out}
        data |= {"train_limit": self.limit} if self.limit else {}
        data |= {"test_limit": self.test_limit} if self.test_limit else {}
        data |= {"augment": not images.grey}
        data |= {"unreadable": images.allowed} if images.allowed else {}
        rate, first = (1e-4, 3e-4) if network.trained else (1e-3, 2e-3)
        resources: Json = {"cpus_per_worker": self.cpus}
        resources |= {"gpus_per_worker": self.gpu} if self.gpu else {}
        resources |= {"concurrent": self.concurrent} if self.concurrent else {}
        return {
            "name": self.name,
            "question": f"How much of {network.name} do these {len(images.classes)} classes need?",
            "model": model,
            "data": data,
            "dense": {"epochs": dense, "batch_size": self.batch, "lr": first},
            "search": {"epochs": search, "batch_size": self.batch, "lr": rate, "min_lr": rate},
            "finetune": {"epochs": finetune, "batch_size": self.batch, "lr": rate, "warmup": 0},
            "budgets": list(self.budgets),
            **({"chain": {"epochs": link}} if len(self.budgets) > 1 else {}),
            "resources": resources,
        }


def sketch(name: str, images: Images, network: Network, machine: Machine, show: Callable[[str], None]) -> Sketch:
    """Choose what runs on this machine, by a few measured steps where there is no GPU.

    Args:
        show: called with what is going on.
    Raises:
        InputError: the network cannot be built or searched.
    """
    choices = _choices(network, images, machine)
    plain = Sketch(name, images, network, machine, choices[0][1], None, _TRAINED if network.trained else _PLAIN)
    started = _more_epochs(plain)
    first = _plan(replace(started, budgets=(1.0,)))
    least = first.minimum / first.dense_cost
    started = replace(started, budgets=_budgets(least), whole_gpu=first.dense_macs > _SHARED_GPU_MACS)
    if machine.gpus:
        return started
    while True:
        net, size = choices.pop(0)
        show(f"measuring training steps at {size} px")
        tried = replace(started, network=net, size=size)
        seconds = _seconds(tried)
        bearable = SECONDS * max(1.0, images.train / IMAGES)
        if seconds <= bearable or not choices:
            break
        while len(choices) > 1 and seconds * (choices[0][1] / size) ** 2 > bearable:  # as the patches, at least
            choices.pop(0)
    return tried if seconds <= SECONDS else _fewer(tried, seconds)


def _fewer(tried: Sketch, seconds: float) -> Sketch:
    """Take fewer images, and with few of them fewer epochs, so that `seconds` become `SECONDS`, or come near it."""
    every = tried.images.train
    enough = max(IMAGES // 3, 10 * len(tried.images.classes))
    limit = max(int(every * SECONDS / seconds) // 100 * 100, enough)
    limited = replace(tried, limit=limit if limit < every else None)
    part = SECONDS / (seconds * limited.trained_on / every)
    return replace(limited, epochs=_scaled(limited.epochs, max(part, _LEAST_PART))) if part < 0.95 else limited


def _seconds(tried: Sketch) -> float:
    """Measure how long a sketch takes on this machine, by a few steps of its network."""
    spec = SweepSpec.model_validate(tried.tree)
    planned = _plan(tried)
    trials = [spec.trial(cell, {}) for cell in spec.cells]
    one = estimate_on_device(trials[0], planned, tried.cpus)
    slots = min(this_machine(spec).slots, len(trials))
    return seconds_in_all(spec, [one.of(trials[0], each) for each in trials], slots)


def _plan(tried: Sketch) -> Plan:
    spec = SweepSpec.model_validate(tried.tree)
    try:
        return plan(spec.trial(spec.cells[0], {}), dry=True)
    except InputError as error:
        flags = {"model.name": "--model", "model.weights": "--weights", "model.args": "--model"}
        raise InputError(error.message, key=flags.get(error.key or "", error.key)) from None


def _choices(network: Network, images: Images, machine: Machine) -> list[tuple[Network, int]]:
    """The networks and image sizes to try, falling."""
    return [(each, size) for each in (network, *network.smaller) for size in _sizes(each, images, machine)]


def _sizes(network: Network, images: Images, machine: Machine) -> list[int]:
    """At least four patches a side, six where weights are there, at most the model's own size.

    Larger images than there are serve weights that were trained on large ones.
    """
    if not network.resizable:
        return [network.native]
    stride, native = network.stride, network.native
    least = min(4 * stride, native)
    wanted = min(native, max(-(-images.side // stride) * stride, 6 * stride if network.trained else least))
    if machine.gpus:
        return [native if network.trained else wanted]
    smaller = {side // stride * stride for side in SMALLER if least <= side // stride * stride < wanted}
    return [wanted, *sorted(smaller, reverse=True)]


def _more_epochs(plain: Sketch) -> Sketch:
    steps = max(1.0, plain.trained_on * (1 - plain.held_out) / plain.batch)
    times = min(_MOST_TIMES, _STEPS / steps)
    return replace(plain, epochs=_scaled(plain.epochs, times)) if times > 1 else plain


def _scaled(epochs: tuple[int, int, int, int], factor: float) -> tuple[int, int, int, int]:
    dense, search, finetune, link = (max(1, round(each * factor)) for each in epochs)
    return dense, search, finetune, link


def _budgets(least: float) -> tuple[float, ...]:
    """The usual budgets that the smallest subnet reaches; where they are under three, others between it and 0.9."""
    lowest = 1.02 * least
    usual = tuple(budget for budget in BUDGETS if budget >= lowest)
    if len(usual) >= 3:
        return usual
    spread = (round(0.9 + (lowest - 0.9) * part, 2) for part in (0, 0.5, 1))
    return tuple(budget for budget in dict.fromkeys(spread) if lowest <= budget < 1) or (0.99,)
