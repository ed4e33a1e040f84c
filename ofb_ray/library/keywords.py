"""Keyword arguments of `compress` as the keys of a trial's spec; what is wrong with them is one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ofb_ray.config import Json, TrialSpec, put
from ofb_ray.config.check_explored import known_keys
from ofb_ray.errors import InputError, nearest

PHASES = ("search", "finetune")


def trial_tree(sections: Mapping[str, Any], dotted: Mapping[str, Any], epochs: int | None) -> Json:
    """Put keyword arguments together into the tree of a spec.

    Args:
        sections: `model`, `data`, `dense`, ...: mappings, or None where the default stands.
        dotted: keys such as `search__space__keep` for `search.space.keep`.
        epochs: of search and fine-tuning each, where their sections do not say.
    Raises:
        InputError: a key is no key of a trial.
    """
    tree: Json = {key: _plain(value) for key, value in sections.items() if value is not None}
    for key, value in dotted.items():
        name = key.replace("__", ".")
        rooms = [section for section in TrialSpec.model_fields if section != "chain"]  # of `front` alone
        if "." not in name or name.split(".")[0] not in rooms:
            known = [*rooms, "epochs", "out", "quiet", "test"]
            hint = nearest(name.split(".")[0], known) or ";"
            raise InputError(f"unknown key{hint} known are {', '.join(known)}", key=name)
        put(tree, name, value)
    for phase in PHASES:
        if epochs is not None:
            tree[phase] = {"epochs": epochs, **tree.get(phase, {})}
    tree["dense"] = {"epochs": 0, **tree.get("dense", {})}
    return tree


def make_spec(tree: Json) -> TrialSpec:
    """Check a tree against a trial's spec.

    Raises:
        InputError: the first thing that is wrong, with its dotted key and what is allowed.
    """
    try:
        return TrialSpec.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
    detail = next((each for each in details if each["type"] == "extra_forbidden"), details[0])
    loc = detail["loc"]
    key = ".".join(str(part) for part in loc)
    if detail["type"] == "extra_forbidden":
        known = sorted(known_keys(TrialSpec, loc[:-1]))
        hint = nearest(str(loc[-1]), known) or ";"
        raise InputError(f"unknown key{hint} known are {', '.join(known)}", key=key)
    message = " ".join(detail["msg"].removeprefix("Value error, ").split())
    if detail["type"] != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, not {detail['input']!r}"
    raise InputError(message, key=key)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
