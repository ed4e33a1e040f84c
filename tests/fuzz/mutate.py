"""Make bad input out of good input, by chance: trees with one wrong value, texts with one wrong stretch."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Place = tuple[str | int, ...]
# What somebody may write where a number, a name, a path or a list belongs.
VALUES: list[Any] = [
    None,
    True,
    "",
    "x",
    "null",
    -1,
    0,
    1,
    2,
    1.5,
    -0.0,
    1e308,
    -1e308,
    10**6,
    2**31,
    2**63,
    10**40,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None],
    [1, 2],
    ["a", "a"],
    {"a": 1},
    {"": {}},
    {"name": "x"},
    [[1]] * 50,
    "\x1b[2J\x1b[31m",
    "\x00",
    "\u202e",
    "é" * 400,
    "a" * 5000,
    "../../../etc",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/dev/tty",
    "fifo",
    "loop",
    "folder",
    "~nobody-of-that-name/x",
    "~",
    ".",
    "..",
    "/",
    "//",
    "\ud800",
    "%s{0}",
    "hf-hub:timm/vit",
    "local-dir:/tmp",
    "https://localhost:9/x",
    "s3://",
    "gs://b/x?y=1",
    "file://x",
    "ftp://h/x",
    "__import__('os').system('touch pwned')",
    "os:system",
    "tests.tuning.fake:run_trial",
    "${HOME}",
    "`id`",
    "$(id)",
    {"checkpoint_path": "/etc/passwd"},
    {"num_heads": 0},
    {"norm_layer": "nope"},
    {"embed_dim": 7},
    {"depth": 10**7},
    {"img_size": 0},
    {"patch_size": -3},
    {"pretrained_cfg": {"file": "/etc/passwd"}},
]
_STRETCHES: list[bytes] = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\t",
    b"\r\n",
    b"{",
    b"}",
    b"[" * 3000,
    b"- " * 300,
    b": ",
    b"!!int x",
    b"!!python/object/apply:os.system ['touch pwned']",
    b"!!binary aGk=",
    b"&a [*a]",
    b"*b",
    b"\x1b[2J",
    b"'",
    b'"',
    b"#",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n",
    b"? ",
    b"<<: ",
    b"1" * 6000,
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"\\u0000",
    b"\xc2\x9b",
    b"a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\n"
    b"d: &d [*c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e]\n",
]


def places(tree: Any, above: Place = ()) -> Iterator[Place]:
    """All places in a tree, that of the tree itself left out."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def mutate_tree(rng: random.Random, tree: Any) -> Any:
    """Return a copy with one to three of its values replaced, removed, doubled or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = list(places(tree))
        if not found:
            return rng.choice(VALUES)
        *above, last = rng.choice(found)
        level = tree
        for part in above:
            level = level[part]
        rng.choice(_CHANGES)(rng, level, last)
    return tree


def _replace(rng: random.Random, level: Any, key: Any) -> None:
    level[key] = copy.deepcopy(rng.choice(VALUES))


def _remove(rng: random.Random, level: Any, key: Any) -> None:
    del level[key]


def _rename(rng: random.Random, level: Any, key: Any) -> None:
    if isinstance(level, dict):
        level[f"{key}{rng.choice(['s', '_', ' ', chr(27), '.x', ''])}"] = level.pop(key)


def _wrap(rng: random.Random, level: Any, key: Any) -> None:
    level[key] = rng.choice([[level[key]], {"a": level[key]}, str(level[key])])


def _scale(rng: random.Random, level: Any, key: Any) -> None:
    if isinstance(level[key], int | float):
        level[key] *= rng.choice([-1, 0, 2, 1000, 1e-9, 10**30])


_CHANGES: list[Callable[[random.Random, Any, Any], None]] = [
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _wrap,
    _scale,
]


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes with a stretch put in, taken out, doubled or overwritten, or with their end cut off."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((0, 1, 8, 200)))
    stretch = rng.choice(_STRETCHES)
    return rng.choice(
        [
            data[:start] + stretch + data[end:],
            data[:start] + stretch + data[start:],
            data[:start],
            data[:end] + data[start:],
            data[:start] + bytes(rng.randrange(256) for _ in range(end - start)) + data[end:],
            stretch,
        ]
    )


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """Return a JSON text with a wrong tree or a wrong stretch."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    text = json.dumps(mutate_tree(rng, json.loads(data)))
    return text.encode(errors="surrogatepass")
