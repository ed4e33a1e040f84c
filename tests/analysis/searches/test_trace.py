"""A search's trace is read in units of the dense network, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.searches.trace import read_trace
from ofb_ray.errors import InputError
from tests.analysis.factory import write_trace

NAN = float("nan")


def test_a_trace_is_read_in_units_of_the_dense_network(tmp_path: Path) -> None:
    write_trace(tmp_path)
    trace = read_trace(tmp_path)
    assert trace is not None
    embed, attention = trace.axes.values()
    assert embed.score[0] == pytest.approx([1.0, 0.5])
    assert attention.score[1] == pytest.approx([1.0, 0.5, 50 / 254, 25 / 254])
    assert attention.score[2] == pytest.approx([1.0, 2.0, NAN, NAN], nan_ok=True)  # gates, up to 2
    assert attention.sparsity[2] == pytest.approx([1.0, 1.0, NAN, NAN], nan_ok=True)
    assert attention.candidates == ((1, 2), (2, 2))
    assert (attention.p[2].tolist(), attention.decided, embed.decided) == ([1.0, 0.0], 2, None)
    assert read_trace(tmp_path / "older") is None


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04torn"])
def test_a_torn_trace_is_bad_input(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "search.npz").write_bytes(content)
    with pytest.raises(InputError, match="no search trace"):
        read_trace(tmp_path)


def test_a_trace_of_another_format_is_bad_input(tmp_path: Path) -> None:
    write_trace(tmp_path, format=np.int32(2))
    with pytest.raises(InputError, match="not of format 1"):
        read_trace(tmp_path)
