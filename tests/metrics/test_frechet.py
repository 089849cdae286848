"""Distances between sets whose distance is known."""

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.metrics.frechet import frechet_distance, precision_recall


def cloud(n, width, seed, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, width)) * scale + shift


def test_a_set_is_at_distance_zero_from_itself():
    points = cloud(300, 8, 0)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)


def test_a_shift_costs_its_square_and_a_scale_the_square_of_its_excess():
    points = cloud(400, 5, 1)
    assert frechet_distance(points, points + 2.0) == pytest.approx(5 * 4.0)
    # Covariances C and 9 C: tr C + tr 9C - 2 tr 3C = 4 tr C.
    centred = points - points.mean(0)
    expected = 4 * np.trace(np.cov(centred, rowvar=False))
    assert frechet_distance(centred, 3 * centred) == pytest.approx(expected)


def test_covariances_of_different_directions_are_compared_exactly():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((500, 4)) @ rng.standard_normal((4, 4)), cloud(500, 4, 3)
    from scipy.linalg import sqrtm

    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(
        c1 + c2 - 2 * np.real(sqrtm(c1 @ c2))
    )
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_precision_falls_with_strangers_and_recall_with_what_is_missing():
    left, right = cloud(200, 2, 4), cloud(200, 2, 5, shift=100.0)
    both = np.concatenate([left, right])
    assert precision_recall(both, left) == pytest.approx((1.0, 0.5))
    assert precision_recall(left, both) == pytest.approx((0.5, 1.0))
    with pytest.raises(BadValue, match="more than 3 images"):
        precision_recall(left[:3], right[:3])
