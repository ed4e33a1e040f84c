"""Agreement of gate and end is ranked within budgets."""

from __future__ import annotations

import pytest

from analysis.gates.agreement import agreement


def test_agreement_is_ranked_within_budgets() -> None:
    """Two budgets far apart: over both together the correlation would be high, within each it is reversed."""
    pairs = [[(10.0, 3.0), (11.0, 2.0), (12.0, 1.0)], [(90.0, 93.0), (91.0, 92.0), (92.0, 91.0)]]
    found = agreement(pairs)
    assert found.rho == pytest.approx(-1)
    assert "do not trust it" in found.sentence
    ordered = agreement([[(each, each) for each in range(6)]])
    assert ordered.rho == pytest.approx(1)
    assert ordered.p < 0.01
    assert "may be trusted to be better than chance" in ordered.sentence
    assert agreement([[(1.0, 2.0), (1.0, 3.0)]]).rho is None  # equal at the gate
    three = agreement([[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]])
    assert three.rho == pytest.approx(1)
    assert "is not known: 3 finished trials" in three.sentence  # 1 of 6 orders agrees by chance
