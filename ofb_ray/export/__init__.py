"""A finished trial's subnet, as others use it: plain timm, a model card, ONNX, torch.export, measured latency."""

from __future__ import annotations

from ofb_ray.export.folder import export_trial
from ofb_ray.export.network import Arch, build, load_exported, make_arch, save_network, tensors

__all__ = ["Arch", "build", "export_trial", "load_exported", "make_arch", "save_network", "tensors"]
