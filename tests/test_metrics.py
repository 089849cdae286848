"""Metrics of transfer on values whose answer is plain."""

import numpy as np
import pytest

from xfer import metrics
from xfer.errors import BadValue
from xfer.metrics import bootstrap, paired_test


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def test_psnr_of_a_known_error():
    truth = np.zeros((2, 3, 16, 16))
    output = truth.copy()
    output[1] = 0.2
    assert metrics.psnr(output, truth) == pytest.approx([106.02, 20.0], abs=0.01)


def test_ssim_is_one_for_equal_images_and_low_for_unlike_ones():
    first, second = noise(2, 3, 32, 32), noise(2, 3, 32, 32, seed=1)
    assert metrics.ssim(first, first) == pytest.approx([1, 1])
    assert (metrics.ssim(first, second) < 0.2).all()


def test_angles_are_compared_the_short_way_round():
    output, driver = np.array([[10.0, 179.0, 0.0]]), np.array([[4.0, -179.0, 1.0]])
    assert metrics.pose_error(output, driver) == pytest.approx([3.0])


def test_codes_are_compared_by_distance_and_by_cosine():
    one, other = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 0.0], [1.0, -1.0]])
    assert metrics.identity_distance(one, other) == pytest.approx([1.0, 2.0])
    assert metrics.identity_cosine(one, other) == pytest.approx([1.0, 0.0])


def test_half_a_motion_has_a_perfect_correlation_and_half_a_slope():
    driver = noise(50)
    assert metrics.correlation(0.5 * driver + 3, driver) == pytest.approx(1)
    assert metrics.slope(0.5 * driver + 3, driver) == pytest.approx(0.5)
    assert metrics.correlation(-driver, driver) == pytest.approx(-1)
    assert metrics.correlation(driver, np.ones(50)) == metrics.slope(driver, np.ones(50)) == 0


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


def normal(n, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal(n) * scale + shift


def test_a_mean_s_interval_is_that_of_theory():
    values = normal(400, scale=2.0, shift=5.0)
    value, low, high = bootstrap(np.mean, values)
    reach = 1.96 * values.std() / 20
    assert value == pytest.approx(values.mean())
    assert high - value == pytest.approx(reach, rel=0.1)
    assert value - low == pytest.approx(reach, rel=0.1)
    assert bootstrap(np.mean, values) == (value, low, high)


def test_rows_of_one_person_count_as_one():
    few = normal(50)
    people = np.arange(50).repeat(20)
    apart = bootstrap(np.mean, few.repeat(20), draws=500)
    together = bootstrap(np.mean, few.repeat(20), people=people, draws=500)
    assert together == pytest.approx(bootstrap(np.mean, few, draws=500))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_constant_is_sure_and_nothing_is_refused():
    assert bootstrap(np.mean, np.full(9, 3.0)) == (3.0, 3.0, 3.0)
    with pytest.raises(BadValue, match="there is none"):
        bootstrap(np.mean, np.zeros(0))


def test_a_paired_difference_sees_what_two_intervals_hide():
    base = normal(200, scale=10)
    better = base + 0.3 + 0.5 * normal(200, 1)
    difference = paired_test(better, base)
    assert difference.low > 0 and difference.p < 0.001
    assert bootstrap(np.mean, base).high > bootstrap(np.mean, better).low
    same = paired_test(normal(200, 2), normal(200, 3))
    assert same.low < 0 < same.high and same.p > 0.05
    assert paired_test(base, base).p == 1.0


def test_few_people_who_agree_may_do_so_by_luck():
    better = np.arange(1.0, 5.0)
    assert paired_test(better, np.zeros(4)).p == 2 / 2**4
    people = np.arange(4).repeat(10)
    assert paired_test(better.repeat(10), np.zeros(40), people).p == 2 / 2**4
