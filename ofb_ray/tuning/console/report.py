"""What the commands print beside the live display: the end of a sweep, and one trial without Ray."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ofb_ray.config import Json, SweepSpec, TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.results.cells import params_label
from ofb_ray.results.facts import TrialFacts
from ofb_ray.results.files import LOG_FILE, RECORD_FILE, TrialFile
from ofb_ray.results.folder import results_folder
from ofb_ray.results.locations import is_uri
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.words import describe_outcome, duration

# Where there is no terminal, this long passes at least between two lines about one phase.
_QUIET_SECONDS = 15.0


def failures(location: str | Path, facts: Sequence[TrialFacts]) -> list[str]:
    """Say of each trial that has failed or has no record why that is; a line each.

    Args:
        location: of the results, as the user knows it: a folder or a URI.
        facts: the trials of a sweep that has ended.
    """
    bad = [fact for fact in facts if fact.state in ("failed", "died", "waiting")]
    logs = [f"{str(location).rstrip('/')}/{fact.number:05d}/{LOG_FILE}" for fact in bad]
    return [f"trial {fact.number}: {_failure(fact, log)}" for fact, log in zip(bad, logs, strict=True)]


def _failure(fact: TrialFacts, log: str) -> str:
    if fact.outcome is not None:
        return f"{describe_outcome(fact.outcome)}; log: {log}"
    return f"{fact.progress.message or 'has no record'}; run the sweep again to continue it"


def resume_command(file: str, overrides: Sequence[str], address: str | None, spec: SweepSpec) -> str:
    """Write the command that continues a sweep."""
    parts = ["ofb-ray", "sweep", file, *(part for override in overrides for part in ("--set", override))]
    parts += ["--address", address] if address else []
    parts += ["--storage", spec.storage if is_uri(spec.storage) else str(results_folder(spec).parent)]
    parts += ["--name", spec.name, "--resume"]
    return shlex.join(parts)


def check_trial_folder(folder: Path, spec: TrialSpec) -> None:
    """Check that the folder of `ofb-ray trial` is new or holds this very trial, and write its trial.json.

    Raises:
        InputError: it holds another trial or something else, or nothing can be written there.
    """
    try:
        _check_trial_folder(folder, spec)
    except OSError as error:
        why = f"cannot write there ({error.strerror}): give another --out"
        raise InputError(why, file=str(folder), key="--out") from None


def _check_trial_folder(folder: Path, spec: TrialSpec) -> None:
    known = TrialFile.read(folder)
    if known is None and folder.exists() and any(folder.iterdir()):
        raise InputError("is not empty and holds no trial: give another --out", file=str(folder), key="--out")
    if known is not None and known.key != spec.key:
        raise InputError("holds another trial: give another --out, or remove it", file=str(folder), key="--out")
    if known is None:
        TrialFile(trial=0, key=spec.key, spec=spec.model_dump(mode="json")).write(folder)


def trial_summary(record: Record, folder: Path, seconds: float) -> str:
    """Say how one trial ended and what to do with it.

    Args:
        record: its record.
        folder: its folder.
        seconds: wall time that this command took.
    """
    text = f"{describe_outcome(record.outcome)} in {duration(seconds)}; record: {folder / RECORD_FILE}"
    if record.status == "finished":
        text += f"\nexport it: ofb-ray export {shlex.quote(str(folder))} --to {shlex.quote(folder.name)}-model"
    return text


class TrialLine:
    """Show the progress of one trial: a line that changes on a terminal, elsewhere a line for each phase and, now and
    then, for what takes long within one."""

    def __init__(self) -> None:
        self._phase, self._printed = "", 0.0
        console = Console(highlight=False)
        self._live = Live(Text("starting"), console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> TrialLine:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Json) -> None:
        """Show a report of run_trial; of several trials each says in `network` which it is."""
        name = f"{progress['network']}: " if progress.get("network") else ""
        message = f"  {progress['message']}" if progress.get("message") else ""
        known = {key: progress[key] for key in ("loss", "top1_val") if progress.get(key) is not None}
        epoch = f"{progress.get('epoch', 0)}/{progress.get('epochs', 0)}"
        share = 100 * float(progress.get("progress") or 0)
        if self._live:
            text = f"{name}{progress['phase']} {epoch}, {share:.0f} % of the trial  {params_label(known)}{message}"
            self._live.update(Text(text))
        elif (phase := name + progress["phase"]) != self._phase:
            self._print(phase)
            self._phase = phase
        elif message and time.monotonic() - self._printed > _QUIET_SECONDS:
            self._print(f"{phase}:{message}")

    def _print(self, line: str) -> None:
        print(line, flush=True)
        self._printed = time.monotonic()
