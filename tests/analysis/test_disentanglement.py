"""Scores of disentanglement on codes whose answers are worked out by hand."""

import itertools

import numpy as np
import pytest

from xfer.analysis import probes as d
from xfer.errors import BadValue

GRID = np.array(list(itertools.product(range(4), repeat=2)), float)
"""Two independent factors of four values, every combination once."""


def test_a_code_that_is_the_factors_scores_one():
    assert d.mig(GRID, GRID) == pytest.approx([1, 1])
    assert d.sap(GRID, GRID) == pytest.approx([1, 1])
    assert d.dci(np.eye(2)) == (1, 1)
    assert d.dci(d.importance(GRID, GRID)) == pytest.approx((1, 1), abs=1e-6)


def test_a_code_that_never_changes_scores_nothing():
    still = np.zeros_like(GRID)
    assert d.mig(still, GRID) == pytest.approx([0, 0])
    assert d.sap(still, GRID) == pytest.approx([0, 0])
    assert d.dci(d.importance(still, GRID)) == (0, 0)


def test_a_sum_of_both_factors_explains_half_of_each():
    code = np.stack([GRID[:, 0], GRID.sum(1)], axis=1)
    # First factor: explained wholly by itself and by half by the sum; second: by half, and not.
    assert d.sap(code, GRID) == pytest.approx([0.5, 0.5])


def test_mig_of_half_a_factor_is_half_of_its_bits():
    high = (GRID[:, :1] >= 2).astype(float)
    code = np.concatenate([high, np.zeros_like(high)], axis=1)
    assert d.mig(code, GRID) == pytest.approx([0.5, 0])


def test_dci_by_hand():
    # First row is shared by both factors evenly, second belongs to the second alone; weights 1/2.
    disentanglement, completeness = d.dci(np.array([[1.0, 1.0], [0.0, 2.0]]))
    thirds = 1 + (1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3)) / np.log(2)
    assert disentanglement == pytest.approx(0.5 * 0 + 0.5 * 1)
    assert completeness == pytest.approx(0.25 * 1 + 0.75 * thirds)


def test_turning_a_code_costs_its_axes():
    labels = np.random.default_rng(0).standard_normal((1500, 6))
    code = labels @ np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    assert d.dci(d.importance(labels, labels))[0] > 0.98
    assert d.dci(d.importance(code, labels))[0] < 0.6
    assert d.mig(code, labels).mean() < 0.2 < 0.8 < d.mig(labels, labels).mean()


def test_a_gap_needs_two_numbers():
    with pytest.raises(BadValue, match="two numbers"):
        d.sap(GRID[:, :1], GRID)
