"""The trackers that a sweep file may name, and the options of each."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from ofb_ray.errors import nearest

OPTIONS: dict[str, tuple[str, ...]] = {
    "tensorboard": (),
    "csv": (),
    "json": (),
    "mlflow": ("experiment", "tracking_uri"),
    "wandb": ("entity", "mode", "project"),
}
_MODES = ("offline", "online")


def _entry(value: Any) -> Any:
    """A bare name is a tracker without options; `mlflow:` with nothing behind it is one, too."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, dict):
        return {name: {} if options is None else options for name, options in value.items()}
    raise ValueError(f"{value!r} is neither a name nor `{{name: {{option: value}}}}`")


def _known(entry: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    if len(entry) != 1:
        raise ValueError("an entry names one tracker; give each its own entry")
    for name, options in entry.items():
        if name not in OPTIONS:
            raise ValueError(f"unknown tracker {name!r}; known are {', '.join(OPTIONS)}{nearest(name, list(OPTIONS))}")
        known = OPTIONS[name]
        for option, text in options.items():
            if option not in known:
                which = f"known are {', '.join(known)}{nearest(option, list(known))}" if known else "it has none"
                raise ValueError(f"unknown option {option!r} of {name}; {which}")
            if option == "mode" and text not in _MODES:
                raise ValueError(f"mode of {name} is {' or '.join(_MODES)}, not {text!r}")
    return entry


def _each_once(entries: tuple[dict[str, dict[str, str]], ...]) -> tuple[dict[str, dict[str, str]], ...]:
    names = [name for entry in entries for name in entry]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice")
    return entries


Logger = Annotated[dict[str, dict[str, str]], BeforeValidator(_entry), AfterValidator(_known)]
Loggers = Annotated[tuple[Logger, ...], AfterValidator(_each_once)]
