"""Names of classes, from wherever a data set keeps them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import Subset

from ofb_ray.config import DataSpec
from ofb_ray.data import load
from ofb_ray.data.names import LONGEST, class_names, names_of


def test_a_name_is_one_printable_line_of_bounded_length() -> None:
    names = class_names(["a\n b", "\x1b[2J", ("tench", "Tinca tinca"), 7, "x" * 1000])
    assert names[:4] == ("a b", "\\x1b[2J", "tench, Tinca tinca", "7")
    assert len(names[4]) == LONGEST


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        (SimpleNamespace(classes=["a", "b"]), ("a", "b")),
        (Subset(SimpleNamespace(classes=["a", "b"]), [0]), ("a", "b")),  # type: ignore[arg-type]
        (SimpleNamespace(features={"label": SimpleNamespace(names=["a", "b"])}), ("a", "b")),
        (SimpleNamespace(classes=["a"]), ()),
        (SimpleNamespace(classes=2), ()),
        ([(0, 0)], ()),
    ],
)
def test_names_are_found_where_datasets_keep_them(dataset: Any, found: tuple[str, ...]) -> None:
    assert names_of(dataset, 2) == found


def test_a_function_without_names_has_none_and_the_bundled_digits_have_theirs() -> None:
    assert load(DataSpec(name="tests.data.toy:grey")).class_names == ()
    assert load(DataSpec(name="digits")).class_names == tuple("0123456789")
