"""What `ofb-ray status` prints: who drives the sweep, each budget, each trial that is not done, what goes on."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from rich.console import Console

from ofb_ray.errors import InputError, one_line, printable
from ofb_ray.results.cells import params_label
from ofb_ray.results.driving import DriverFacts
from ofb_ray.results.facts import TrialFacts
from ofb_ray.results.files import LOG_FILE, SWEEP_FILE, TRIAL_FILE, trial_folder, trial_name
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.locations import is_uri
from ofb_ray.results.store import fetched
from ofb_ray.tuning.console.summary import DONE, TrialView, by_budget, seconds_left, view_of
from ofb_ray.tuning.console.words import budget_table, describe_outcome, duration

WIDTH = 80
# More trials of a kind than this are counted, not listed.
MOST = 20
# A trial that has reported nothing for so long is worth a look at its log.
QUIET_SECONDS = 120.0
_LISTED = ("running", "waiting", "died", "failed", "stopped")
_STATES = ("finished", "failed", "died", "stopped", "running", "waiting")
_TAIL_BYTES = 4096


def status_text(
    index: TrialIndex, driver: DriverFacts, location: str, width: int = WIDTH, now: float | None = None
) -> str:
    """Write the state of a sweep as plain text; a command to type is the only line that may be wider.

    Args:
        index: its trials.
        driver: who drives it.
        location: its results folder or URI, as the user gave it.
        width: columns; text is wrapped between words.
        now: the time, in seconds since 1970; default: this machine's.
    """
    now = time.time() if now is None else now
    facts, total = index.facts, index.total
    views = {fact.number: view_of(index.spec, fact) for fact in facts}
    done = sum(view.state in DONE for view in views.values())
    title = f"{index.spec.name}: {index.spec.question}" if index.spec.question else index.spec.name
    lines = [_wrapped(title, width), _wrapped(_driver(driver, done == total, now), width), ""]
    lines += _budgets(index, list(views.values()), width)
    listed = {state: [fact for fact in facts if fact.state == state] for state in _LISTED}
    listed["waiting"] = [fact for fact in listed["waiting"] if fact.progress.phase]
    logs = _logs(index.results, location, [fact for some in listed.values() for fact in some[:MOST]], now)
    for state, some in listed.items():
        lines += [""] if some else []
        for fact in some[:MOST]:
            lines += [_wrapped(line, width, "    ") for line in _trial(index, fact, views, driver, logs, now)]
        if len(some) > MOST:
            lines.append(f"... and {len(some) - MOST} more {state}")
    lines += ["", _wrapped(_counts(views, total, done), width)]
    if driver.state != "running":
        purpose = "to go on:" if done < total else "all of it on one page:"
        lines += [purpose, f"  {_next(driver, location, done < total)}"]
        if any(view.state == "failed" for view in views.values()):
            lines += ["to try what failed once more:", f"  {_next(driver, location, True)} --retry-failed"]
    return "\n".join(lines)


def _driver(driver: DriverFacts, complete: bool, now: float) -> str:
    file = driver.file
    host = "this machine" if file.host == socket.gethostname() else file.host
    where = f"on {host} (process {file.pid})" if file.host else "on a machine that is not known"
    since = f" since {_clock(file.since)}, for {duration(max(0.0, now - file.since))}" if file.since else ""
    if driver.state == "running":
        return f"driver: running {where}{since}"
    if driver.state == "silent":
        silence = f"the store has not heard of it for {duration(max(0.0, now - file.time))}"
        return f"driver: {where.removeprefix('on ')}{since}, but {silence}: it was killed, or waits for the store"
    if driver.state == "gone":
        if file.host == socket.gethostname():
            return f"driver: none; that of {_clock(file.since)} {where} was killed or broke off"
        return f"driver: that of {_clock(file.since)} {where} has not said that it ended, and is not seen from here"
    ended = f"; the last one ran {where}, from {_clock(file.since)} on" if file.since else ""
    return f"driver: none{', all is done' if complete else ''}{ended}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _budgets(index: TrialIndex, views: list[TrialView], width: int) -> list[str]:
    """The table of budgets; on a narrow terminal a sentence for each."""
    lines = by_budget(index.spec, views, index.total)
    console = Console(width=200, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(budget_table(lines))
    table = [line.rstrip() for line in captured.get().splitlines()]
    if max(map(len, table)) <= width:
        return table
    shown = []
    for line in lines:
        counts = ", ".join(f"{count} {state}" for state, count in line.counts.items() if count)
        best = "" if line.top1 is None else f", best top-1 val {line.top1:.1f} %"
        shown.append(_wrapped(f"{line.label}: {counts}; {line.epochs_done}/{line.epochs} epochs{best}", width, "  "))
    return shown


def _silent(fact: TrialFacts, now: float) -> bool:
    return fact.state == "running" and fact.progress.time is not None and now - fact.progress.time > QUIET_SECONDS


def _ends_are_told(fact: TrialFacts, now: float) -> bool:
    """Whether the last line of a trial's log belongs to what is said of it."""
    return fact.state in ("failed", "died") or _silent(fact, now)


def _logs(results: Path, location: str, facts: list[TrialFacts], now: float) -> Path:
    """The folder of the logs: of a URI's those whose ends are told are fetched, as its copy has small files alone."""
    names = [f"{trial_name(fact.number)}/{LOG_FILE}" for fact in facts if _ends_are_told(fact, now)]
    if names and is_uri(location):
        with contextlib.suppress(InputError):  # the store went away: the rest is known
            return fetched(location, names)
    return results


def _trial(
    index: TrialIndex, fact: TrialFacts, views: dict[int, TrialView], driver: DriverFacts, logs: Path, now: float
) -> Iterator[str]:
    trial = fact.trial
    about = [trial.label, params_label(trial.params)] if trial else []
    if trial and trial.follows is not None:
        about.append(f"goes on from trial {trial.follows}")
    if trial and trial.promotes is not None:
        about.append(f"promotes trial {trial.promotes}")
    name = (
        f"trial {fact.number} ({'; '.join(part for part in about if part)})" if any(about) else f"trial {fact.number}"
    )
    if fact.outcome is not None:
        yield f"{name} {describe_outcome(fact.outcome)}"
    elif fact.state == "died":
        yield f"{name} died: {fact.progress.message}"
    else:
        yield f"{name} {_running(index, fact, views, driver, now)}"
    if _ends_are_told(fact, now) and (line := last_line(trial_folder(logs, fact.number) / LOG_FILE)):
        yield f"    its log ends: {line}"


def _running(index: TrialIndex, fact: TrialFacts, views: dict[int, TrialView], driver: DriverFacts, now: float) -> str:
    progress = fact.progress
    running = fact.state == "running"
    parts = [f"{'running' if running else 'not running, was at'}: {progress.phase or 'starting'}"]
    if progress.epoch is not None:
        parts[0] += f", epoch {progress.epoch} of {progress.epochs if progress.epochs is not None else '?'}"
    if progress.progress:
        parts.append(f"{100 * progress.progress:.0f} % of the trial")
    if (left := _left(index, fact, views, driver, now)) is not None:
        parts.append(f"about {duration(left)} left")
    if running and progress.message:
        parts.append(progress.message)
    if _silent(fact, now) and progress.time is not None:
        parts.append(f"silent for {duration(now - progress.time)}")
    return ", ".join(parts)


def _left(
    index: TrialIndex, fact: TrialFacts, views: dict[int, TrialView], driver: DriverFacts, now: float
) -> float | None:
    """The seconds that a trial still needs: by what finished ones took, else by its own pace in this launch."""
    share = fact.progress.progress or 0.0
    known = [view.seconds for view in views.values() if view.seconds is not None]
    if known:
        return (1 - share) * sum(known) / len(known)
    try:
        begun = (trial_folder(index.results, fact.number) / TRIAL_FILE).stat().st_mtime
    except OSError:
        return None
    if share < 0.01 or driver.state != "running" or not driver.file.since or begun < driver.file.since:
        return None  # begun in an earlier launch: how long it has run is not known
    return max(0.0, now - begun) * (1 - share) / share


def _counts(views: dict[int, TrialView], total: int, done: int) -> str:
    counts: Counter[str] = Counter(view.state for view in views.values())
    counts["waiting"] += max(0, total - len(views))
    states = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    slots = max(1, counts["running"])
    left = seconds_left(list(views.values()), total, slots)
    text = f"{done} of {total} done ({states})"
    if left and done < total:
        text += f", about {duration(left)} left with {slots} trial{'s' * (slots > 1)} at a time"
    return text


def _next(driver: DriverFacts, location: str, unfinished: bool) -> str:
    """The command that goes on: the last driver's own, else one that takes the sweep from its results folder."""
    if not unfinished:
        return shlex.join(["ofb-ray", "report", location])
    if driver.file.command:
        return printable(driver.file.command)
    if is_uri(location):
        storage, _, name = location.rstrip("/").rpartition("/")
        return f"ofb-ray sweep SWEEP --storage {shlex.quote(storage)} --name {shlex.quote(name)} --resume"
    folder = Path(location).resolve()
    parts = ["ofb-ray", "sweep", str(folder / SWEEP_FILE), "--storage", str(folder.parent), "--name", folder.name]
    return shlex.join([*parts, "--resume"])


def last_line(log: Path) -> str:
    """The last line of a log that says something, as one printable line; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return next((one_line(line, 200) for line in reversed(text.splitlines()) if line.strip()), "")


def _wrapped(text: str, width: int, indent: str = "") -> str:
    """Wrap between words, keeping numbers and their units, and a date and its time, together."""
    start = " " * (len(text) - len(text.lstrip()))
    whole = re.sub(r"(?<=\d) (?=(?:min|h|s|%)(?!\w))|(?<=h) (?=\d)|(?<=\d) (?=\d\d:\d\d)", "\xa0", text.strip())
    lines = fill(
        whole,
        width,
        initial_indent=start,
        subsequent_indent=start or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\xa0", " ")
