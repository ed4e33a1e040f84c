"""A subnet in int8, by onnxruntime's static quantisation: QDQ, weights per channel, sensitive layers left in float."""

from __future__ import annotations

from ofb_ray.export.int8.make import make_int8

__all__ = ["make_int8"]
