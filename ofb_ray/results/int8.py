"""Read and write `int8.json`, which says what a trial's int8 network is: of it and of `model.int8.onnx` beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from ofb_ray.results.files import JsonFile, LatencyFile

INT8_FILE, INT8_MODEL = "int8.json", "model.int8.onnx"
INT8_BACKEND = "onnxruntime-int8"


class FloatLayer(BaseModel):
    """A layer that stays in float32 because of what it costs in int8."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(description="the layer, as timm names it")
    error: float = Field(description="error of the logits with this layer alone in int8, over the logits' deviation")


class Int8Ratio(BaseModel):
    """How the time in int8 compares at one batch size: medians of ratios, round by round."""

    model_config = ConfigDict(frozen=True)
    batch: int = Field(description="images in a batch")
    time_ratio: float = Field(description="time of the subnet in int8 over the dense network's in float32")
    float32_ratio: float = Field(description="time of the subnet in int8 over its own in float32")


class Int8Latency(LatencyFile):
    """Times of one interleaved run, as in `latency.json`: the subnet in int8, all else in float32."""

    ratios: tuple[Int8Ratio, ...] = Field((), description="one entry a batch size")


class Int8File(JsonFile):
    """`int8.json`: a trial's network in int8 beside itself in float32; written by `ofb-ray export --int8`."""

    NAME: ClassVar[str] = INT8_FILE
    model_sha256: str = Field(description="hash of `model.int8.onnx`")
    weights_sha256: str = Field(description="hash of the `model.safetensors` that it was made from")
    bytes_int8: int = Field(description="size of `model.int8.onnx`")
    bytes_float32: int = Field(description="size of the same network as ONNX in float32")
    layers: int = Field(description="layers with weights: linear layers and convolutions")
    float_layers: tuple[FloatLayer, ...] = Field((), description="those that stay in float32, the most sensitive first")
    calibration: str = Field(description="how the ranges of activations were found: `minmax` or `percentile`")
    calibration_images: int = Field(description="held-out training images that the ranges come from")
    selection_images: int = Field(description="other held-out training images, on which the layers were chosen")
    tolerance: float = Field(
        description="points that int8 may cost on `selection_images`: of the right class's mean probability, and of "
        "top-1 as far as its loss is beyond two standard errors"
    )
    met: bool = Field(description="whether it costs no more than that")
    out_of_time: bool = Field(False, description="whether the choice of layers ended by its time limit")
    top1_val: float = Field(description="top-1 in int8 on `selection_images`, in percent")
    top1_val_float32: float = Field(description="the same in float32")
    val_error: float = Field(description="standard error of the difference on `selection_images`, in points")
    lost_probability: float = Field(description="points of the right class's mean probability that int8 costs there")
    top1_test: float | None = Field(None, description="top-1 in int8 on the test split, in percent; it selects nothing")
    top1_test_float32: float | None = Field(None, description="the same in float32, by onnxruntime on a CPU")
    test_error: float | None = Field(None, description="standard error of the difference on the test split, in points")
    test_images: int = Field(0, description="images of the test split")
    activations: Literal["uint8", "int8"] = Field(description="what the layers in int8 read")
    reduce_range: bool = Field(description="whether weights have seven bits, for CPUs that saturate sums of eight")
    instructions: tuple[str, ...] = Field((), description="instructions for int8 that the CPU has")
    fast: bool = Field(description="whether products of int8 are fast with them")
    versions: dict[str, str] = Field({}, description="packages that made it")
    latency: Int8Latency | None = Field(None, description="times, as in `latency.json`; null was not measured")

    @property
    def drop(self) -> float | None:
        """Points of top-1 that int8 costs on the test split, None without one."""
        if self.top1_test is None or self.top1_test_float32 is None:
            return None
        return self.top1_test_float32 - self.top1_test


def digest_of(data: bytes) -> str:
    """Hash a file's bytes as `Int8File` keeps it."""
    return hashlib.sha256(data).hexdigest()


def read_latency(folder: Path, backend: str) -> LatencyFile | None:
    """Read the times of a trial by a backend: `latency.json`; in int8, where it has none, those of `int8.json`.

    Raises:
        BrokenFileError: a file is torn, or another kind of file.
    """
    known = LatencyFile.read(folder)
    if backend != INT8_BACKEND or (known is not None and any(row.backend == backend for row in known.rows)):
        return known
    made = Int8File.read(folder)
    return None if made is None else made.latency
