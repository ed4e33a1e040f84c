"""How the latency that a budget limits is measured."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ofb_ray.config.base import Strict, unit


class LatencySpec(Strict):
    """One forward pass as it is deployed: on what, by what, and where its times come from."""

    absent: ClassVar[frozenset[str]] = frozenset({"table"})
    backend: Literal["torch", "compile", "onnxruntime"] = Field(
        "torch", description="What runs the network: torch as it is, torch.compile, or onnxruntime."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where it runs; with a table, where the table is from.")
    batch: int = Field(1, ge=1, le=65_536, json_schema_extra=unit("images"), description="Images of one pass.")
    threads: int = Field(2, ge=1, le=65_536, json_schema_extra=unit("threads"), description="Threads on a CPU.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Of weights and activations.")
    seconds: float = Field(
        150.0,
        gt=0,
        le=86_400,
        json_schema_extra=unit("seconds"),
        description="What the measurement of a table may take, once for each device; more networks, a better table.",
    )
    table: str | None = Field(
        None,
        description="A file that `ofb-ray latency --table` made on the target; null measures where the trial runs.",
    )

    @model_validator(mode="after")
    def _what_onnxruntime_can(self) -> LatencySpec:
        if self.backend == "onnxruntime" and self.precision != "float32":
            raise ValueError("onnxruntime is measured in float32: set precision: float32, or another backend")
        return self
