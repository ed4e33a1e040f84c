"""`ofb-ray init`: looks at a folder of images, at weights and at this machine, and writes a sweep that runs here."""

from __future__ import annotations

import argparse
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ofb_ray.config.sweep import SWEEP_NAME
from ofb_ray.errors import InputError
from ofb_ray.inputs import user_path

if TYPE_CHECKING:
    from ofb_ray.commands.starter.choose import Sketch


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `init` to the commands of the command line."""
    command = commands.add_parser("init", help="write a commented sweep for a folder of your own images")
    command.set_defaults(command=run)
    command.add_argument(
        "--data", required=True, metavar="FOLDER", help="images: train/<class>/* with val/ or test/, or <class>/*"
    )
    command.add_argument("--weights", metavar="FILE", help="trained weights, .safetensors or .pth, to start from")
    command.add_argument("--model", metavar="NAME", help="timm's name of the model (default: the one of the weights)")
    command.add_argument("--out", metavar="FILE", help="the sweep file to write (default: <name>.yaml)")
    command.add_argument("--name", help="name of the sweep (default: that of the folder)")


def run(arguments: argparse.Namespace) -> int:
    """Write the sweep file, say what was found and how long the sweep takes; nothing else is created.

    Raises:
        InputError: the file exists, or the images, the weights or the name do not serve.
    """
    name = _name(arguments.name, arguments.data)
    out = user_path(arguments.out or f"{name}.yaml", _out_flag(arguments))
    _check_free(out, _out_flag(arguments))
    root = str(user_path(arguments.data, "--data"))
    print(f"looking at {root}", flush=True)
    from ofb_ray.commands.starter.choose import sketch
    from ofb_ray.commands.starter.images import described, look
    from ofb_ray.commands.starter.machine import this_machine
    from ofb_ray.commands.starter.network import choose_network

    def say(text: str) -> None:
        print(text, flush=True)

    images = look(root)
    for line in described(images):
        say(line)
    machine = this_machine()
    network = choose_network(arguments.weights, arguments.model, images.side, gpu=bool(machine.gpus))
    for line in (*network.lines, machine.words):
        say(line)
    made = sketch(name, images, network, machine, say)
    time = _checked(made)
    _write(out, made, arguments, time)
    say(time)
    say(f"wrote {out}; next: ofb-ray sweep {shlex.quote(str(out))} --dry-run, then without --dry-run")
    return 0


def _name(given: str | None, folder: str) -> str:
    if given is not None and not re.fullmatch(SWEEP_NAME, given):
        raise InputError(f"{given!r}: letters, digits, `.`, `_` and `-`", key="--name")
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", user_path(folder, "--data").resolve().name).strip("-._")
    return given or own or "own"


def _out_flag(arguments: argparse.Namespace) -> str | None:
    """The flag that names the file; None where the user gave none, and the file has the name of the sweep."""
    return "--out" if arguments.out else None


def _check_free(out: Path, flag: str | None) -> None:
    if out.exists() or out.is_symlink():
        raise InputError("is there already and stays as it is: name another file by --out", file=str(out), key=flag)
    if not out.absolute().parent.is_dir():
        raise InputError("there is no such folder: make it first", file=str(out.parent), key=flag)


def _checked(made: Sketch) -> str:
    """Read the sweep as a launch does, and estimate its time by measurement.

    Raises:
        InputError: it cannot be launched, such as where the results folder of its name holds another sweep.
    """
    from ofb_ray.commands.starter.text import sweep_text
    from ofb_ray.tuning.dry_run import describe_time
    from ofb_ray.tuning.prepare import prepare

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sweep.yaml")
        file.write_text(sweep_text(made, "", "", ""), encoding="utf-8")
        try:
            return describe_time(prepare(file, dry=True)).replace("\n", "; ")
        except InputError as error:
            raise InputError(error.message, key=error.key) from None


def _write(out: Path, made: Sketch, arguments: argparse.Namespace, time: str) -> None:
    from ofb_ray.commands.starter.text import sweep_text

    flags = ("data", "weights", "model", "out", "name")
    given = [part for key in flags if (value := getattr(arguments, key)) for part in (f"--{key}", value)]
    text = sweep_text(made, shlex.join(["ofb-ray", "init", *given]), shlex.quote(str(out)), time)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _check_free(out, _out_flag(arguments))
    except OSError as error:
        reason = f"cannot write there ({error.strerror}): name another file by --out"
        raise InputError(reason, file=str(out), key=_out_flag(arguments)) from None
