"""Finds the sweeps that ship with this package: by file, or by a name such as `digits` or `paper/main_digits`."""

from __future__ import annotations

from pathlib import Path

from ofb_ray.errors import InputError, nearest
from ofb_ray.inputs import user_path

_PACKAGE = Path(__file__).parent.parent
# A wheel carries them inside of the package; in a checkout they lie beside it.
_FOLDERS = (_PACKAGE / "shipped", _PACKAGE.parent / "sweeps")


def shipped_sweeps() -> dict[str, Path]:
    """Map the name of every shipped sweep to its file, in the order of the names.

    Returns:
        name: the path below the sweeps' folder without its suffix, such as `paper/main_digits`.
    """
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    if folder is None:
        return {}
    files = [*folder.glob("*.yaml"), *(folder / "paper").glob("*.yaml")]
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(files)}


def shipped_sweep(name: str) -> Path:
    """Return the file of the shipped sweep `name`.

    Raises:
        InputError: no shipped sweep has this name.
    """
    sweeps = shipped_sweeps()
    if name not in sweeps:
        raise InputError(f"no shipped sweep has this name{_nearest(name)} (`ofb-ray sweeps` lists them)", file=name)
    return sweeps[name]


def find_sweep(file_or_name: str | Path) -> Path:
    """Return the sweep file that is meant: an existing file first, else the shipped sweep of that name.

    Raises:
        InputError: it is neither.
    """
    path = user_path(file_or_name)
    if path.exists() and not path.is_dir():
        return path
    shipped = shipped_sweeps().get(str(file_or_name))
    if shipped is not None:
        return shipped
    what = "it is a folder" if path.is_dir() else "there is no such file"
    guess = _nearest(str(file_or_name)) or "; give the path of a YAML file"
    raise InputError(f"{what}, and no shipped sweep has this name{guess} (`ofb-ray sweeps` lists them)", file=str(path))


def _nearest(name: str) -> str:
    """The shipped name closest to `name`, which may be a path that holds in a checkout: `sweeps/digits.yaml`."""
    known = list(shipped_sweeps())
    word = name.removesuffix(".yaml").removeprefix("sweeps/")
    by_last_part = [other for other in known if other.rpartition("/")[2] == word.rpartition("/")[2]]
    return nearest(by_last_part[0] if by_last_part else word, known)
