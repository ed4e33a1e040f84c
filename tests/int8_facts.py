"""What `int8.json` says of a network that nobody made."""

from __future__ import annotations

from typing import Any

from ofb_ray.results.int8 import Int8File, digest_of


def facts(model: bytes = b"onnx", **changes: Any) -> Int8File:
    fields: dict[str, Any] = {
        "model_sha256": digest_of(model),
        "weights_sha256": "",
        "bytes_int8": 5_800_000,
        "bytes_float32": 22_000_000,
        "layers": 50,
        "calibration": "minmax",
        "calibration_images": 256,
        "selection_images": 744,
        "tolerance": 0.5,
        "met": True,
        "top1_val": 84.0,
        "top1_val_float32": 84.2,
        "val_error": 0.41,
        "lost_probability": 0.12,
        "top1_test": 83.9,
        "top1_test_float32": 84.0,
        "test_error": 0.17,
        "test_images": 4000,
        "activations": "uint8",
        "reduce_range": False,
        "instructions": ("avx2", "avx512_vnni"),
        "fast": True,
    }
    return Int8File(**{**fields, **changes})
