"""What all specs share: frozen, unknown keys refused, identity by hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue, SerializerFunctionWrapHandler, model_serializer

Json = dict[str, Any]


class Strict(BaseModel):
    """A frozen spec that refuses unknown keys.

    `absent` names the fields that its JSON leaves out while they are null: an option that nobody uses changes neither
    the hash of a spec nor what is written of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    absent: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_unused_options(self, serialize: SerializerFunctionWrapHandler) -> Json:
        tree: Json = serialize(self)
        return {key: value for key, value in tree.items() if value is not None or key not in self.absent}


def unit(name: str, values: str = "") -> dict[str, JsonValue]:
    """Describe a number for the reference of sweep keys, as `json_schema_extra` of its field.

    Args:
        name: the unit, such as `epochs` or `share`.
        values: the range in words, where the field's bounds do not state it.
    """
    return {"unit": name, "range": values} if values else {"unit": name}


def put(tree: Json, dotted: str, value: Any) -> None:
    """Set `tree[a][b][c] = value` for the dotted key `a.b.c`, making the levels that are missing or null."""
    *path, last = dotted.split(".")
    for name in path:
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
    tree[last] = value


def digest(tree: Json) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
