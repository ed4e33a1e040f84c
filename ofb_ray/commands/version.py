"""`ofb-ray --version`: versions of this package and of what its results depend on, without importing any of it."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

import ofb_ray

PACKAGES = ("torch", "timm", "ray", "optuna")


class Version(argparse.Action):
    """Print the versions and exit; they are looked up only when they are asked for."""

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print versions and exit", default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(version_line())
        parser.exit()


def version_line() -> str:
    """This package's version, then those of Python and of the packages that numbers depend on, in one line."""
    others = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    return f"ofb-ray {ofb_ray.__version__} (Python {platform.python_version()}, {others})"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
