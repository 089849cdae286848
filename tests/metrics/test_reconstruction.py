"""Metrics of transfer on values whose answer is plain."""

import numpy as np
import pytest

from xfer import metrics
from xfer.metrics import reconstruction as r


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def test_psnr_of_a_known_error():
    truth = np.zeros((2, 3, 16, 16))
    output = truth.copy()
    output[1] = 0.2
    assert r.psnr(output, truth) == pytest.approx([106.02, 20.0], abs=0.01)


def test_ssim_is_one_for_equal_images_and_low_for_unlike_ones():
    first, second = noise(2, 3, 32, 32), noise(2, 3, 32, 32, seed=1)
    assert r.ssim(first, first) == pytest.approx([1, 1])
    assert (r.ssim(first, second) < 0.2).all()


def test_angles_are_compared_the_short_way_round():
    output, driver = np.array([[10.0, 179.0, 0.0]]), np.array([[4.0, -179.0, 1.0]])
    assert r.pose_error(output, driver) == pytest.approx([3.0])


def test_codes_are_compared_by_distance_and_by_cosine():
    one, other = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 0.0], [1.0, -1.0]])
    assert r.identity_distance(one, other) == pytest.approx([1.0, 2.0])
    assert r.identity_cosine(one, other) == pytest.approx([1.0, 0.0])


def test_half_a_motion_has_a_perfect_correlation_and_half_a_slope():
    driver = noise(50)
    assert r.correlation(0.5 * driver + 3, driver) == pytest.approx(1)
    assert r.slope(0.5 * driver + 3, driver) == pytest.approx(0.5)
    assert r.correlation(-driver, driver) == pytest.approx(-1)
    assert r.correlation(driver, np.ones(50)) == r.slope(driver, np.ones(50)) == 0


def test_a_new_metric_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))

    @metrics.metric("brightness_error", better="lower", unit="levels")
    def brightness_error(output, truth, scale=127.5):
        return scale * np.abs((output - truth).mean((1, 2, 3)))

    added = metrics.METRICS["brightness_error"]
    assert added.needs == ("output", "truth") and added.better == "lower"
    truth = noise(2, 3, 16, 16) / 2
    values = metrics.measure(output=truth + 0.1, truth=truth)
    assert set(values) >= {"psnr", "ssim", "brightness_error"}
    assert values["brightness_error"] == pytest.approx([12.75, 12.75])
