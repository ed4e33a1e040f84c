"""How trials run: their resources, early stop, promotion and repetition."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ofb_ray.config.base import Strict, unit


class GateSpec(Strict):
    """Stop a trial `epochs` epochs into fine-tuning unless it stands in the best `keep` share of its budget."""

    epochs: int = Field(
        3,
        ge=1,
        json_schema_extra=unit("epochs"),
        description="Fine-tuning epochs after which a trial is compared with others; below `finetune.epochs`.",
    )
    keep: float = Field(
        0.5,
        gt=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Part of the trials of the same budget and grid point that goes on.",
    )
    min_trials: int = Field(
        4,
        ge=2,
        json_schema_extra=unit("trials"),
        description="Trials that must have come so far, this one included, before one is stopped.",
    )


class Scheduler(Strict):
    """`fifo` (every trial runs to its end) or a mapping with a `gate`."""

    gate: GateSpec | None = Field(
        None, description="Early stop during fine-tuning; null (`fifo`) lets every trial run to its end."
    )

    @model_validator(mode="before")
    @classmethod
    def _fifo_has_no_gate(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "fifo":
            raise ValueError(f"is `fifo` or has a `gate`, such as {{gate: {{epochs: 3, keep: 0.5}}}}, not {value!r}")
        return {} if value == "fifo" else value


class Chain(Strict):
    """One search for all budgets: from each budget's decided network it goes on to the next one below."""

    epochs: int = Field(
        ge=0,
        json_schema_extra=unit("epochs"),
        description="Search epochs from one budget to the next one below; `search.epochs` lead to the first.",
    )
    tell: Literal["hypervolume", "trials"] = Field(
        "hypervolume",
        description="What the sampler learns: `hypervolume`, one value for each chain, the area that its front "
        "dominates in shares of the dense network's cost and of 100 % top-1 on held-out images; `trials`, each trial's "
        "`objectives`.",
    )
    reference_top1: float = Field(
        0.0,
        ge=0,
        lt=100,
        json_schema_extra=unit("percent"),
        description="Held-out top-1 of the hypervolume's reference point; its cost is the dense network's.",
    )


class Promote(Strict):
    """When all trials are done, the `best` of each budget are fine-tuned anew for `epochs` epochs, as new trials."""

    best: int = Field(
        2,
        ge=1,
        json_schema_extra=unit("trials"),
        description="Finished trials of each budget and grid point that are fine-tuned anew.",
    )
    epochs: int = Field(
        ge=1,
        json_schema_extra=unit("epochs"),
        description="Fine-tuning epochs of a promoted trial; above `finetune.epochs`.",
    )


class Resources(Strict):
    """What Ray reserves for one trial: `workers` processes that train one network data-parallel."""

    workers: int = Field(
        1, ge=1, json_schema_extra=unit("processes"), description="Processes that train one network data-parallel."
    )
    cpus_per_worker: float = Field(
        1, gt=0, json_schema_extra=unit("CPUs"), description="CPUs that Ray reserves for each worker."
    )
    gpus_per_worker: float = Field(
        0,
        ge=0,
        json_schema_extra=unit("GPUs"),
        description="GPUs that Ray reserves for each worker: 0, 1, or a part of one (0.5 runs two trials on a GPU) "
        "where there is one worker.",
    )
    concurrent: int | None = Field(
        None, ge=1, json_schema_extra=unit("trials"), description="Trials at a time, at most; null is as many as fit."
    )
    gpu_tflops: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("TFLOP/s"),
        description="Sustained speed of one GPU in training, for estimates on a machine without GPUs; null assumes 40.",
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> Resources:
        gpus = self.gpus_per_worker
        if gpus != int(gpus) and (gpus > 1 or self.workers > 1):
            raise ValueError(f"gpus_per_worker {gpus:g}: only a trial of one worker may take a share of a GPU")
        if gpus > 1:
            raise ValueError(f"gpus_per_worker {gpus:g}: a worker uses one GPU; for more GPUs ask for more `workers`")
        return self

    @property
    def cpus(self) -> float:
        """CPUs of one trial."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of one trial."""
        return self.workers * self.gpus_per_worker


class Failure(Strict):
    """When a trial is started again, from its checkpoint, and how often."""

    retries: int = Field(
        3,
        ge=0,
        json_schema_extra=unit("times"),
        description="How often a trial whose process died is started again from its checkpoint.",
    )
    silent_minutes: float | None = Field(
        240,
        gt=0,
        le=1e6,  # the range of a clock
        json_schema_extra=unit("minutes"),
        description="A trial that has not reported for so long is hung and its process is ended; null waits for ever.",
    )
