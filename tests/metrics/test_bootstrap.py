"""Intervals against the theory of normal samples."""

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.metrics.bootstrap import bootstrap, paired_test
from xfer.metrics.reconstruction import correlation


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


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    intervals = (bootstrap(np.mean, normal(40, seed), draws=200) for seed in range(200))
    assert 0.9 < np.mean([low <= 0 <= high for _, low, high in intervals]) < 0.985


def test_rows_of_one_person_count_as_one():
    few = normal(50)
    people = np.arange(50).repeat(20)
    apart = bootstrap(np.mean, few.repeat(20), draws=500)
    together = bootstrap(np.mean, few.repeat(20), people=people, draws=500)
    assert together == pytest.approx(bootstrap(np.mean, few, draws=500))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_statistic_of_two_columns_is_drawn_by_rows():
    a = normal(300)
    b = 0.8 * a + 0.6 * normal(300, 1)
    value, low, high = bootstrap(correlation, a, b)
    bounds = np.tanh(np.arctanh(value) + np.array([-1.96, 1.96]) / np.sqrt(297))
    assert (low, high) == pytest.approx(tuple(bounds), abs=0.015)


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
