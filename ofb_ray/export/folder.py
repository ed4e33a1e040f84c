"""The export folder: written beside its place and renamed into it when everything in it has been checked."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timm.models import save_for_hf

from ofb_ray.errors import InputError
from ofb_ray.export import loader, program
from ofb_ray.export.card import make_card, without_origin
from ofb_ray.export.card_int8 import config_of
from ofb_ray.export.kept import MadeInt8
from ofb_ray.export.measured import MeasuredLatency
from ofb_ray.export.names import label_names
from ofb_ray.export.network import input_size_of, load_exported, with_attributes
from ofb_ray.inputs import load_json
from ofb_ray.results.archs import read_arch
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import ARCH_FILE, LATENCY_FILE, RECORD_FILE, WEIGHTS_FILE, check_model
from ofb_ray.results.int8 import INT8_FILE, INT8_MODEL
from ofb_ray.results.records import Record, ToldRecord, read_record

Document = dict[str, Any]
CARD_FILE, CONFIG_FILE = "README.md", "config.json"
_GRAPHS = (program.ONNX_FILE, program.PROGRAM_FILE, INT8_FILE, INT8_MODEL)
_FILES = (CARD_FILE, CONFIG_FILE, LATENCY_FILE, RECORD_FILE, WEIGHTS_FILE, *_GRAPHS)


def export_trial(
    folder: Path,
    to: Path,
    *,
    onnx: bool = False,
    exported_program: bool = False,
    int8: Callable[[], MadeInt8] | None = None,
    measure: Callable[[], Document] | None = None,
) -> dict[str, float]:
    """Write a finished trial's subnet into `to`, a new or an empty folder, in the layout of the Hugging Face Hub.

    `model.safetensors`, `arch.json`, `record.json`, timm's `config.json`, the card `README.md`, the trial's
    `latency.json` where it has one, and what is asked for. An error leaves nothing behind.

    Args:
        onnx, exported_program: write `model.onnx` and `model.pt2`, checked for equal outputs.
        int8: makes `model.int8.onnx` and what is known of it; None: neither is written.
        measure: gives the content of `latency.json`; None: that of the trial's folder, if any.
    Returns:
        The largest difference of a logit from the network's, by file.
    Raises:
        InputError: not a trial folder, not finished, a file of it is torn; `to` holds files of these names, or nothing
            can be written there.
        ExportFailed: a file does not compute what the network computes.
    """
    record = _finished(folder)
    if (to / ARCH_FILE).exists():
        raise InputError(f"{to} already holds a subnet; name an empty or a new folder", key="--to")
    if to.exists() and (not to.is_dir() or any((to / name).exists() for name in _FILES)):
        raise InputError(f"{to} holds files that an export would replace; name an empty or a new folder", key="--to")
    missing = [path for path in (to.parent, *to.parent.parents) if not path.exists()]
    staging = _staging(to.absolute())
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"cannot write there ({error.strerror}); name another folder", file=str(to), key="--to"
        ) from None
    try:
        differences = _fill(staging, folder, record, onnx, exported_program, int8, measure)
        _publish(staging, to)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for path in missing:
            path.rmdir()
        raise
    return differences


def _finished(folder: Path) -> Record:
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder} has no {RECORD_FILE}: no finished trial (see `ofb-ray status`)")
    if record.status != "finished":
        raise InputError(f"{folder} has no subnet: the trial {record.status} ({record.reason})")
    check_model(ToldRecord, {"spec": record.spec}, str(folder / RECORD_FILE))
    return record


def _fill(
    staging: Path,
    folder: Path,
    record: Record,
    onnx: bool,
    exported_program: bool,
    int8: Callable[[], MadeInt8] | None,
    measure: Callable[[], Document] | None,
) -> dict[str, float]:
    net = load_exported(folder)
    shutil.copyfile(folder / RECORD_FILE, staging / RECORD_FILE)
    arch = with_attributes(read_arch(folder))
    write_json(staging / ARCH_FILE, arch)
    names = label_names(record, arch)
    labels = {"label_names": names} if names else {}
    save_for_hf(net, str(staging), safe_serialization=True, data_config=arch.get("input"), model_config=labels)
    shutil.copymode(folder / WEIGHTS_FILE, staging / WEIGHTS_FILE)  # safetensors' own would be read by nobody else
    write_json(staging / CONFIG_FILE, without_origin(json.loads((staging / CONFIG_FILE).read_text())))
    size = input_size_of(arch)
    program.check_equal(net, loader.load(staging), size, "what the stand-alone loader builds")
    differences = {}
    if onnx:
        differences[program.ONNX_FILE] = program.save_onnx(net, size, staging / program.ONNX_FILE)
    if exported_program:
        differences[program.PROGRAM_FILE] = program.save_program(net, size, staging / program.PROGRAM_FILE)
    small = int8() if int8 else None
    if small is not None:
        _write_int8(staging, small)
    latency = measure() if measure else _known_latency(folder)
    if latency is not None:
        write_json(staging / LATENCY_FILE, latency)
    (staging / CARD_FILE).write_text(make_card(record, arch, differences, latency, small), encoding="utf-8")
    return differences


def _known_latency(folder: Path) -> Document | None:
    if MeasuredLatency.read(folder) is None:
        return None
    latency: Document = load_json(folder / LATENCY_FILE)
    return latency


def _write_int8(staging: Path, small: MadeInt8) -> None:
    (staging / INT8_MODEL).write_bytes(small.model)
    write_json(staging / INT8_FILE, small.tree)
    config = json.loads((staging / CONFIG_FILE).read_text())
    write_json(staging / CONFIG_FILE, {**config, "int8": config_of(small.facts)})


def _staging(to: Path) -> Path:
    """Choose the folder to write in; those that killed exports of this machine have left beside it are removed."""
    beginning = f".{to.name}.{socket.gethostname()}."
    for left in to.parent.glob(f"{glob.escape(beginning)}*"):
        process = left.name.removeprefix(beginning)
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(left, ignore_errors=True)
    return to.with_name(f"{beginning}{os.getpid()}")


def _publish(staging: Path, to: Path) -> None:
    """Rename the folder into its place, or its files into a folder that is there already (the clone of a Hub model)."""
    try:
        staging.rename(to)  # over an empty folder, too
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # What says that a subnet is there comes last.
        for path in sorted(staging.iterdir(), key=lambda path: path.name == ARCH_FILE):
            path.replace(to / path.name)
        staging.rmdir()
