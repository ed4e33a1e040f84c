"""`latency.json` with all that a model card tells of it; it may come from anybody."""

from __future__ import annotations

from pydantic import BaseModel, model_validator

from ofb_ray.results.files import LatencyFile, LatencyRow


class _FullRow(LatencyRow):
    low_ms: float
    high_ms: float
    images_per_second: float


class _Ratio(BaseModel):
    backend: str
    batch: int
    time_ratio: float
    time_ratio_low: float
    time_ratio_high: float
    mac_ratio: float
    float32_ratio: float | None = None


class MeasuredLatency(LatencyFile):
    """`latency.json` with all that a model card tells of it."""

    device_name: str
    threads: int
    input_size: tuple[int, ...]
    versions: dict[str, str]
    rows: tuple[_FullRow, ...]
    ratios: tuple[_Ratio, ...]

    @model_validator(mode="after")
    def _has_the_rows_of_its_ratios(self) -> MeasuredLatency:
        for each in self.ratios:
            for network in ("dense", "subnet"):
                if self.median_ms(network, each.backend, each.batch) is None:
                    raise ValueError(f"rows: none of {network}, {each.backend}, batch {each.batch}: measure again")
        return self
