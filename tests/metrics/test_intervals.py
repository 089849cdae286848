"""Intervals against the theory of normal samples, and against plain resampling."""

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.metrics.intervals import (
    auc_interval,
    correlation_interval,
    mean_interval,
    median_interval,
    paired_correlations,
    paired_difference,
    r2_interval,
    slope_interval,
)
from xfer.metrics.recognition import auc, pair_scores


def normal(n, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal(n) * scale + shift


def test_a_mean_s_interval_is_that_of_theory():
    values = normal(400, scale=2.0, shift=5.0)
    found = mean_interval(values)
    reach = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(reach, rel=0.06)
    assert found.value - found.low == pytest.approx(reach, rel=0.06)
    assert mean_interval(values) == found != mean_interval(values, seed=1)


def test_draws_that_are_kept_for_the_next_interval_change_none():
    few, many = normal(30), normal(80)
    groups = np.arange(30).repeat(2)
    first = mean_interval(few), mean_interval(few.repeat(2), groups), mean_interval(many)
    again = mean_interval(few), mean_interval(few.repeat(2), groups), mean_interval(many)
    assert first == again and first[0] == pytest.approx(first[1])


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    held = [
        low <= 0 <= high
        for _, low, high in (mean_interval(normal(60, seed), draws=500) for seed in range(300))
    ]
    assert 0.91 < np.mean(held) < 0.98


def test_items_of_one_group_count_as_one():
    few = normal(50)
    groups = np.arange(50).repeat(20)
    apart, together = mean_interval(few.repeat(20)), mean_interval(few.repeat(20), groups)
    assert together == pytest.approx(mean_interval(few))
    assert together.high - together.low > 4 * (apart.high - apart.low)


def test_a_constant_is_sure_and_nothing_is_refused():
    assert mean_interval(np.full(9, 3.0)) == (3.0, 3.0, 3.0)
    with pytest.raises(BadValue, match="there is none"):
        mean_interval(np.zeros(0))


def test_a_median_s_interval_holds_it_and_forgets_how_far_outliers_lie():
    ranks = np.r_[np.ones(80), 2, 2, 3, np.full(17, 900.0)]
    assert median_interval(ranks) == (1.0, 1.0, 1.0)
    found = median_interval(normal(301))
    assert found.low < found.value < found.high < 0.4


def test_a_correlation_s_interval_is_that_of_fisher():
    a = normal(500)
    b = 0.8 * a + 0.6 * normal(500, 1)
    found = correlation_interval(a, b)
    assert found.value == pytest.approx(np.corrcoef(a, b)[0, 1])
    low, high = np.tanh(np.arctanh(found.value) + np.array([-1.96, 1.96]) / np.sqrt(497))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert correlation_interval(a, np.full(500, 7.0)) == (0, 0, 0)


def test_a_paired_difference_sees_what_two_intervals_hide():
    base = normal(200, scale=10)
    better = base + 0.3 + 0.5 * normal(200, 1)
    found = paired_difference(better, base)
    assert found.low > 0 and found.p < 0.001
    assert mean_interval(base).high > mean_interval(better).low
    same = paired_difference(normal(200, 2), normal(200, 3))
    assert same.low < 0 < same.high and same.p > 0.05


def test_few_people_who_agree_may_do_so_by_luck():
    better = np.arange(1.0, 5.0)
    assert paired_difference(better, np.zeros(4)).p == 2 / 2**4
    groups = np.arange(4).repeat(10)
    assert paired_difference(better.repeat(10), np.zeros(40), groups).p == 2 / 2**4
    seen = np.array([1.0, 2.0, 3.0, 5.0])
    assert paired_correlations(seen, np.zeros(4), seen).p >= 2 / 2**4
    assert paired_difference(np.ones(40), np.zeros(40)).p < 0.001


def test_equal_methods_differ_by_chance_only():
    values = normal(30)
    assert paired_difference(values, values).p == 1.0


def test_a_method_that_adds_noise_correlates_less_and_pairs_show_it():
    truth = normal(150)
    seen = truth + 0.5 * normal(150, 1)
    noisy = seen + 0.3 * normal(150, 2)
    found = paired_correlations(seen, noisy, truth)
    r = lambda x: np.corrcoef(x, truth)[0, 1]
    assert found.value == pytest.approx(r(seen) - r(noisy))
    assert 0 < found.low < found.value < found.high and found.p < 0.01
    # Each alone is less sure than that.
    assert correlation_interval(noisy, truth).high > correlation_interval(seen, truth).low
    turned = paired_correlations(noisy, seen, truth)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert turned.p == pytest.approx(found.p)
    # An r heeds neither unit nor origin.
    assert paired_correlations(7 + 9 * seen, noisy, truth) == pytest.approx(found)


def test_equal_methods_correlate_alike():
    truth = normal(40)
    seen = truth + normal(40, 1)
    assert paired_correlations(seen, seen, truth) == (0, 0, 0, 1)
    other = truth + normal(40, 2)
    alike = paired_correlations(seen, other, truth)
    assert alike.low < 0 < alike.high and alike.p > 0.05


def test_where_methods_are_alike_one_test_of_twenty_says_otherwise():
    said = []
    for seed in range(200):
        truth, *noise = np.random.default_rng(seed).standard_normal((3, 80))
        said.append(paired_correlations(*(truth + n for n in noise), truth, draws=400).p < 0.05)
    assert 0.01 < np.mean(said) < 0.11


def test_correlations_of_one_group_count_as_one():
    truth, one, two = normal(50), normal(50, 1), normal(50, 2)
    rows = [truth + one, truth + 2 * two, truth]
    groups = np.arange(50).repeat(8)
    together = paired_correlations(*(x.repeat(8) for x in rows), groups)
    assert together == pytest.approx(paired_correlations(*rows))


def test_a_method_that_never_moves_correlates_with_nothing():
    truth = normal(60)
    found = paired_correlations(truth, np.zeros(60), truth)
    assert found[:3] == pytest.approx((1, 1, 1)) and found.p < 0.001
    with pytest.raises(BadValue, match="two items at least; got 1"):
        paired_correlations(np.ones(1), np.ones(1), np.ones(1))


def test_r_squared_of_known_predictions():
    truth = normal(2000)
    assert r2_interval(truth, truth) == (1, 1, 1)
    assert r2_interval(np.full(2000, truth.mean()), truth).value == pytest.approx(0)
    half = r2_interval(truth + normal(2000, 1, scale=truth.std() / 2), truth)
    assert half.low < 0.75 < half.high and half.high - half.low < 0.06
    assert r2_interval(-truth, truth).value < -2.9
    with pytest.raises(BadValue, match="no variance"):
        r2_interval(truth, np.ones(2000))


def test_a_slope_says_what_share_comes_about():
    x = normal(3000, scale=4)
    found = slope_interval(x, 0.3 * x + normal(3000, 1))
    assert found.low < 0.3 < found.high and found.high - found.low < 0.03
    assert slope_interval(x, np.zeros(3000)) == (0, 0, 0)


def test_the_auc_is_that_of_all_pairs_and_its_interval_holds_it():
    people = np.arange(60).repeat(4)
    codes = np.random.default_rng(0).standard_normal((60, 8))[people]
    codes = codes + np.random.default_rng(1).standard_normal(codes.shape)
    found = auc_interval(codes, people)
    assert found.value == pytest.approx(auc(*pair_scores(codes, people)))
    assert found.low < found.value < found.high < found.low + 0.1
    blind = auc_interval(np.ones((240, 3)), people)
    assert blind == pytest.approx((0.5, 0.5, 0.5))
