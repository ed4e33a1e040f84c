"""What `compress` returns: the network, and the record of how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from ofb_ray.export import export_trial
from ofb_ray.export.network import widths_of
from ofb_ray.method.axis import Width
from ofb_ray.results.records import Network, Record


@dataclass(frozen=True)
class Compressed:
    """A network that meets its budget.

    Args:
        net: plain timm, in eval mode, on the CPU.
        record: the whole record of the trial, as `record.json` holds it.
        folder: of the trial; a temporary one lives as long as this object.
    """

    net: nn.Module = field(repr=False)
    record: Record = field(repr=False)
    folder: Path
    _temporary: TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def widths(self) -> dict[str, Width]:
        """The size of every axis: heads x channels per head of attention, 1 x width of the others."""
        assert self.record.arch is not None
        return widths_of(self.record.arch)

    @property
    def subnet(self) -> Network:
        """Size and accuracy of the compressed network, in percent; None was not measured."""
        assert self.record.subnet is not None
        return self.record.subnet

    @property
    def dense(self) -> Network:
        """Size and accuracy of the network that was passed in."""
        assert self.record.dense is not None
        return self.record.dense

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.subnet.macs

    @property
    def params(self) -> int:
        """Parameters."""
        return self.subnet.params

    @property
    def top1_val(self) -> float | None:
        """Accuracy on the images that selected, in percent."""
        return self.subnet.top1_val

    def save(self, folder: str | Path, *, onnx: bool = False) -> Path:
        """Export into `folder`, a new or an empty one: `ofb_ray.load` reads it, and its card says how timm alone does.

        Args:
            onnx: write model.onnx, too, checked for equal outputs.
        Raises:
            InputError: nothing can be written there, or it holds files already.
        """
        export_trial(self.folder, Path(folder), onnx=onnx)
        return Path(folder)

    def __repr__(self) -> str:
        accuracy = ""
        if self.top1_val is not None and self.dense.top1_val is not None:
            accuracy = f", top-1 val {self.top1_val:.2f} % (dense {self.dense.top1_val:.2f} %)"
        share = 100 * self.macs / self.dense.macs
        name = self.record.spec["model"]["name"]
        return f"Compressed({name}: {share:.1f} % of {self.dense.macs:,} MACs, {self.params:,} parameters{accuracy})"

    def _repr_markdown_(self) -> str:
        rows = [("dense", self.dense), ("compressed", self.subnet)]
        lines = ["| | MACs | parameters | top-1 val (%) | top-1 test (%) |", "|---|--:|--:|--:|--:|"]
        for name, each in rows:
            cells = [f"{each.macs:,}", f"{each.params:,}", _percent(each.top1_val), _percent(each.top1_test)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(lines)


def _percent(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"
