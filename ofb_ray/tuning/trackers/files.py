"""Write csv or json: a file for each trial with a row for each epoch; nothing is needed to read it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ofb_ray.config import Json
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers.base import METRICS, EpochRow, TrackedTrial, history

_COLUMNS = ("step", "phase", "epoch", *METRICS)


class Files:
    """`<folder>/<number>/progress.csv`, or result.json with a JSON object a line.

    Args:
        folder: `<results>/loggers`.
        kind: `csv` or `json`.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._csv = folder, kind == "csv"
        self._rows: dict[int, dict[int, Json]] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Read what is there; a last line that a kill has torn is cut off."""
        if trial.number in self._rows:
            return
        path = self._path(trial)
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        rows = {int(row["step"]): row for row in self._parse(whole.decode())}
        if self._csv and not whole:
            whole = self._text({}).encode()
        if whole != data:
            write_atomic(path, whole)
        self._rows[trial.number] = rows

    def log(self, trial: TrackedTrial, step: int, row: EpochRow) -> None:
        """Append a line."""
        self.start(trial)
        if step in self._rows[trial.number]:
            return
        kept = _kept(step, row)
        path = self._path(trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(self._line(kept).encode())
        self._rows[trial.number][step] = kept

    def end(self, trial: TrackedTrial, record: Record | None, reason: str) -> None:
        """Put in the epochs that were trained while no driver was there."""
        self.start(trial)
        rows = self._rows[trial.number]
        if record is not None and (lacking := {k: v for k, v in history(trial, record).items() if k not in rows}):
            rows = {**rows, **{step: _kept(step, row) for step, row in lacking.items()}}
            write_atomic(self._path(trial), self._text(rows).encode())
        self.forget(trial.number)

    def forget(self, number: int) -> None:
        """Read the file again at the next call."""
        self._rows.pop(number, None)

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, trial: TrackedTrial) -> Path:
        return self._folder / trial.name / ("progress.csv" if self._csv else "result.json")

    def _parse(self, text: str) -> list[Json]:
        if self._csv:
            return list(csv.DictReader(io.StringIO(text)))
        return [json.loads(line) for line in text.splitlines()]

    def _text(self, rows: dict[int, Json]) -> str:
        head = ",".join(_COLUMNS) + "\n" if self._csv else ""
        return head + "".join(self._line(row) for _, row in sorted(rows.items()))

    def _line(self, row: Json) -> str:
        if not self._csv:
            return json.dumps(row) + "\n"
        out = io.StringIO()
        csv.DictWriter(out, _COLUMNS, lineterminator="\n").writerow(row)
        return out.getvalue()


def _kept(step: int, row: EpochRow) -> Json:
    return {"step": step, "phase": row.phase, "epoch": row.epoch, **row.metrics}
