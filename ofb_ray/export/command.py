"""What `ofb-ray export` and `ofb-ray latency` do and print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from ofb_ray.errors import InputError
from ofb_ray.export.card import time_ratio
from ofb_ray.export.card_int8 import cost, float_layers, in_int8
from ofb_ray.export.folder import Document, export_trial
from ofb_ray.export.int8.instructions import sentence
from ofb_ray.export.kept import MadeInt8, check_writable, int8_model, write_int8
from ofb_ray.export.program import ONNX_FILE, OPSET, ExportFailed
from ofb_ray.results.archs import read_arch
from ofb_ray.results.int8 import INT8_MODEL
from ofb_ray.train.run import pick_device


def export(arguments: argparse.Namespace, folder: Path) -> int:
    """Export the finished trial in `folder`, a local copy of `arguments.trial` or itself; returns the exit code."""

    def measure() -> Document:
        return _measured([arguments.trial], arguments)[arguments.trial]

    if arguments.data is not None and not arguments.int8:
        raise InputError("says where the images of --int8 are: give both, or neither", key="--data")

    def int8() -> MadeInt8:
        made.append(_int8(arguments, folder))
        return made[0]

    made: list[MadeInt8] = []
    try:
        differences = export_trial(
            folder,
            Path(arguments.to),
            onnx=arguments.onnx,
            exported_program=arguments.program,
            int8=int8 if arguments.int8 else None,
            measure=measure if arguments.measure else None,
        )
    except ExportFailed as error:
        print(f"ofb-ray: {error}", file=sys.stderr)
        return 1
    for name, difference in differences.items():
        kind = f"ONNX, opset {OPSET}" if name == ONNX_FILE else "torch.export"
        print(f"{name} ({kind}): logits within {difference:.1e} of the network's")
    for small in made:
        print("\n".join(_told(small)))
    print(f"wrote {arguments.to}; in Python: ofb_ray.load({arguments.to!r}); README.md is its model card")
    return 0


def latency(arguments: argparse.Namespace) -> int:
    """Measure the trials' subnets, write `latency.json` beside each record, print a table; returns the exit code."""
    _measured(arguments.places, arguments)
    return 0


def _measured(places: Sequence[str], arguments: argparse.Namespace) -> dict[str, Document]:
    """Measure, write and print. Whatever is wrong with the places is said before anything is timed."""
    from ofb_ray.export.latency import BATCHES, SECONDS, find_subjects, measure_trials, write_latency
    from ofb_ray.export.timing import BACKENDS, INT8, check_backend

    with _threads(arguments.threads), Line() as line:
        subjects, backends = find_subjects(places), arguments.backend or BACKENDS
        for backend in backends:
            check_backend(backend, pick_device())
        wanted = subjects if INT8 in backends else []
        documents = measure_trials(
            subjects,
            backends=backends,
            batches=arguments.batch or BATCHES,
            device=pick_device(),
            cap_seconds=arguments.seconds or SECONDS,
            show=line.show,
            int8={each.location: int8_model(each.location, each.record, line.hint) for each in wanted},
        )
        for location, document in documents.items():
            write_latency(location, document)
    print("\n".join(table(documents)))
    return documents


def _int8(arguments: argparse.Namespace, folder: Path) -> MadeInt8:
    """Make the network in int8, time it beside float32 on the CPU, and put it beside the trial's record."""
    from ofb_ray.export.int8 import make_int8
    from ofb_ray.export.latency import BATCHES, SECONDS, find_subjects, measure_trials
    from ofb_ray.export.timing import INT8

    check_writable(arguments.trial)
    (subject,) = find_subjects([arguments.trial])
    with _threads(arguments.threads), Line() as line:
        made = make_int8(folder, subject.record, read_arch(folder), root=arguments.data, show=line.hint)
        documents = measure_trials(
            [subject],
            backends=[INT8],
            batches=arguments.batch or BATCHES,
            device=torch.device("cpu"),
            cap_seconds=arguments.seconds or SECONDS,
            show=line.hint,
            int8={subject.location: made.model},
        )
    kept = MadeInt8(made.model, made.facts, documents[subject.location])
    write_int8(subject.location, kept)
    return kept


def _told(made: MadeInt8) -> Iterator[str]:
    """Lines on the terminal: what int8 costs, what it gains, and which layers stayed in float."""
    facts = made.facts
    size = f"{facts.bytes_int8 / 1e6:.2f} MB, in float32 {facts.bytes_float32 / 1e6:.2f}"
    yield f"{INT8_MODEL} (ONNX, opset {OPSET}, QDQ): {size}; {float_layers(facts)}"
    yield cost(facts)
    for each in (made.latency or {}).get("ratios", ()):
        yield (
            f"batch {each['batch']}: {each['float32_ratio']:.2f} of the subnet's time in float32, "
            f"{each['time_ratio']:.2f} of the dense network's in float32"
        )
    yield sentence(facts.instructions, facts.fast)


def table(documents: dict[str, Document]) -> Iterator[str]:
    """Lines of a table: a row a trial, backend and batch; times are medians, in brackets the 10 and 90 % quantiles."""
    head = next(iter(documents.values()))
    size = " x ".join(map(str, head["input_size"]))
    yield f"{head['device_name']}, threads: {head['threads']}, images {size}; milliseconds a batch (10 to 90 %)"
    names = ("trial", "backend", "batch", "dense", "subnet", "images/s", "time ratio", "MAC ratio")
    rows = [names, *(row for location, document in documents.items() for row in _rows(location, document))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    for row in rows:
        cells = [
            f"{cell:<{width}}" if at < 2 else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    for location, document in documents.items():
        if told := in_int8(document):
            yield f"{_name(location)}: {told}"


def _name(location: str) -> str:
    return location.rstrip("/").rpartition("/")[2]


def _rows(location: str, document: Document) -> Iterable[tuple[str, ...]]:
    def time(row: Document) -> str:
        return f"{row['median_ms']:.2f} ({row['low_ms']:.2f} to {row['high_ms']:.2f})"

    rows = {(row["backend"], row["batch"], row["network"]): row for row in document["rows"]}
    for each in document["ratios"]:
        dense, subnet = (rows[each["backend"], each["batch"], name] for name in ("dense", "subnet"))
        speed = f"{subnet['images_per_second']:.1f}"
        ratios = (time_ratio(each), f"{each['mac_ratio']:.3f}")
        yield (
            _name(location),
            each["backend"],
            str(each["batch"]),
            time(dense),
            time(subnet),
            speed,
            *ratios,
        )


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """torch with `count` threads, or as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Line:
    """One line on stderr that says what is going on; on a terminal it is overwritten and goes at the end."""

    def __enter__(self) -> Line:
        return self

    def show(self, text: str) -> None:
        start, end = ("\r\x1b[2K", "") if sys.stderr.isatty() else ("", "\n")
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    def hint(self, text: str) -> None:
        """Show it on a terminal alone: a log needs no step of hundreds."""
        if sys.stderr.isatty():
            self.show(text)

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
