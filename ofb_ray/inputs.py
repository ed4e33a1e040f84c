"""The gate in front of every file and path that a user or a foreign folder gives: only plain files, bounded, printable.

A FIFO, a device, a folder or a loop of links in a file's place is an InputError at once instead of a hang or a trace,
and so is a file that is larger than its kind can be. What is printed of foreign text cannot move a terminal's cursor.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator

from ofb_ray.errors import BrokenFileError, InputError, nearest, one_line, printable

MIB = 1 << 20
# No sweep file, spec or record comes near; a record of thousands of epochs has a few MiB.
SWEEP_BYTES, JSON_BYTES = MIB, 256 * MIB
# What opening something says that is no file for us; other errors are the disk's.
_NO_FILE = (errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG)
# JSON's way of writing control characters, and the C1 range of UTF-8.
_CONTROLS = re.compile(rb"\\u00[01][0-9a-fA-F]|\\u007[fF]|\\u00[89][0-9a-fA-F]|\\[bfr]|\xc2[\x80-\x9f]|\x7f")
_SIGNS = (b"NaN", b"Infinity", b"\\", b"\xc2", b"\x7f")
# How argparse tells of a word that is none of its choices.
_INVALID_CHOICE = re.compile(r"(?P<what>.*invalid choice: '(?P<given>.*)') \(choose from (?P<known>.*)\)", re.DOTALL)
_NOT_FINITE = re.compile(rb"(?<![\w\"])(NaN|-?Infinity)")


def path_fault(name: str) -> str:
    """Say why no file can have this name; empty where one can."""
    if not name.isprintable():
        return "holds a character that no path should have: check its quotes"
    try:
        path = Path(name).expanduser()
        os.stat(path)
        path.resolve()
    except RuntimeError as error:
        return "is a loop of links" if "loop" in str(error) else "names an unknown user: write the folder out"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
            return ""  # it is there, but not for us: whoever reads it says more
        return f"is no path ({getattr(error, 'strerror', None) or error}): give another one"
    return ""


def user_path(text: str | os.PathLike[str], key: str | None = None) -> Path:
    """Return the path that a user means, `~` expanded.

    Raises:
        InputError: no file can have this name.
    """
    name = os.fspath(text)
    if fault := path_fault(name):
        raise InputError(fault, file=name, key=key)
    return Path(name).expanduser()


def _checked_path(text: str) -> str:
    if "://" not in text and (fault := path_fault(text)):
        raise ValueError(f"{text!r} {fault}")
    return text


# A path or URI in a spec, kept as it is written.
PathText = Annotated[str, AfterValidator(_checked_path)]


def read_bytes(path: Path, limit: int, head: int | None = None) -> bytes:
    """Read a plain file, or its first `head` bytes.

    Raises:
        FileNotFoundError: there is none.
        BrokenFileError: it is none, or has more bytes than `limit`.
        OSError: it cannot be read.
    """
    # A FIFO would keep its opener waiting, and what follows asks the same file that is then read.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except NotADirectoryError as error:  # below a file there is none
        raise FileNotFoundError(*error.args, str(path)) from None
    except OSError as error:
        if error.errno in _NO_FILE:
            raise BrokenFileError(
                f"cannot be read ({error.strerror}): put the file itself there", file=str(path)
            ) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise BrokenFileError("is no plain file: put the file itself there", file=str(path))
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > limit:
            size = f"{found.st_size / MIB:,.0f} MiB, at most {limit / MIB:,.0f}"
            raise BrokenFileError(f"is too large for its kind ({size}): another file in its place?", file=str(path))
        return file.read(limit if head is None else head)


def read_text(path: Path, limit: int, remedy: str, name: str = "") -> str:
    """Read a plain file of text.

    Args:
        remedy: what its user can do when it cannot be read.
        name: what messages call it; default: its path.

    Raises:
        InputError: there is none, it cannot be read, or it is no text.
    """
    try:
        return read_bytes(path, limit).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot read it ({reason}): {remedy}", file=name or str(path)) from None


def read_json_file(path: Path, limit: int = JSON_BYTES) -> bytes:
    """Read the bytes of a JSON file whose numbers are finite, control characters in its strings made visible.

    Raises:
        FileNotFoundError: there is none.
        BrokenFileError: it is no plain file of this size, or no such JSON.
    """
    data = read_bytes(path, limit)
    # Most files have none of these bytes, and a search for them is ten times as fast as the patterns.
    if any(sign in data for sign in _SIGNS) and (_NOT_FINITE.search(data) or _CONTROLS.search(data)):
        try:
            tree = json.loads(data, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise BrokenFileError(_reason(error), file=str(path)) from None
        data = json.dumps(_visible(tree)).encode()
    return data


def load_json(path: Path, limit: int = JSON_BYTES) -> Any:
    """Read the tree of a JSON file; see `read_json_file`.

    Raises:
        FileNotFoundError: there is none.
        BrokenFileError: it is no plain file of this size, or no such JSON.
    """
    data = read_json_file(path, limit)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenFileError(_reason(error), file=str(path)) from None


def _reason(error: Exception) -> str:
    return "is nested too deeply" if isinstance(error, RecursionError) else f"is not valid JSON ({error})"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number of JSON")


def _visible(tree: Any) -> Any:
    if isinstance(tree, str):
        return printable(tree)
    if isinstance(tree, list):
        return [_visible(item) for item in tree]
    if isinstance(tree, dict):
        return {printable(key): _visible(value) for key, value in tree.items()}
    return tree


def tell_reader(text: str) -> None:
    """Say what has begun to somebody who waits at a terminal; a pipe or a log gets what comes of it alone."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Say what is wrong with a command line in one line, as with any other input."""

    def error(self, message: str) -> NoReturn:
        if found := _INVALID_CHOICE.fullmatch(message):
            known = [name.strip("' ") for name in found["known"].split(",")]
            message = f"{found['what']}{nearest(found['given'], known)}; known are {', '.join(known)}"
        self.exit(2, f"{one_line(f'{self.prog}: error: {message}; see {self.prog} --help')}\n")
