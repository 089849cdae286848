"""How sure a statistic or a difference is, over people: their rows are drawn together.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 to 16.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from xfer.errors import BadValue

Rows = Shaped[np.ndarray, "n ..."]
People = Int[np.ndarray, " n"]


class Interval(NamedTuple):
    """A statistic and where it lies in most of the draws."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """First minus second, where it lies, and how often chance alone gives as much."""

    value: float
    low: float
    high: float
    p: float


def bootstrap(
    statistic: Callable[..., float],
    *data: Rows,
    people: People | None = None,
    share: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """A statistic of some rows with its percentile interval.

    Args:
        statistic: Of arrays shaped as `data` with any number of rows, such as `numpy.mean`.
        people: Rows of one number are drawn together; by default each row alone.
        share: Of the draws, inside the interval.
    """
    rows = _rows_of_each(len(data[0]), people)

    def of_rows(chosen: np.ndarray) -> float:
        index = np.concatenate([rows[i] for i in chosen])
        return float(statistic(*(x[index] for x in data)))

    everyone = np.arange(len(rows))
    value = float(statistic(*data))
    if len(rows) == 1:
        return Interval(value, value, value)
    limits = stats.bootstrap(
        (everyone,), of_rows, vectorized=False, n_resamples=draws, confidence_level=share,
        method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(value, float(limits.low), float(limits.high))


def paired_test(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    people: People | None = None,
    share: float = 0.95,
    draws: int = 4000,
    seed: int = 0,
) -> Difference:
    """Mean of first minus second over people, its interval and the p value of sign flips.

    The p value is two-sided, exact where all flips of people's signs number at most `draws`, and
    never below two of them: so often all people agree by luck.
    """
    gap = first - second
    gaps = np.array([gap[rows].mean() for rows in _rows_of_each(len(gap), people)])
    value, low, high = bootstrap(np.mean, gaps, share=share, draws=draws, seed=seed)
    if len(gaps) == 1 or not gaps.any():
        return Difference(value, low, high, 1.0)
    test = stats.permutation_test(
        (gaps,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True,
        n_resamples=draws, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Difference(value, low, high, float(test.pvalue))


def _rows_of_each(n: int, people: People | None) -> list[np.ndarray]:
    if n == 0:
        raise BadValue("an interval requires rows; there is none")
    if people is None:
        return [np.array([i]) for i in range(n)]
    return [np.flatnonzero(people == one) for one in np.unique(people)]
