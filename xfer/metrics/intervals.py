"""How sure a mean, a correlation or a difference is: bootstrap over items.

Items that belong together, such as several trials of one person, are drawn together.
Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xfer.errors import expect

Values = Float[np.ndarray, " n"]
Groups = Int[np.ndarray, " n"]
DRAWS = 4000


class Interval(NamedTuple):
    """A quantity and where it lies in most of the draws."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """First minus second, where it lies, and how often chance alone gives as much."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided: twice the share of draws on the other side of zero.

    It is no less than 2 of the 2^n ways in which n groups can fall to either side: so often all of
    them agree by luck, which draws of a few groups that agree do not show.
    """


def mean_interval(
    values: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The mean and its percentile interval.

    Args:
        groups: Items of one number are drawn together; by default each alone.
    """
    weights = _weights(len(values), groups, draws, seed)
    return Interval(float(values.mean()), *_between(_weighted_means(weights, values), share))


def median_interval(
    values: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The median and its percentile interval; arguments as in `mean_interval`."""
    order = np.argsort(values, kind="stable")
    reached = _weights(len(values), groups, draws, seed)[:, order].cumsum(1)
    middle = (reached >= reached[:, -1:] / 2).argmax(1)
    return Interval(float(np.median(values)), *_between(values[order][middle], share))


def correlation_interval(
    first: Values,
    second: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Pearson's r and its percentile interval; 0 where one of the two never changes."""
    expect(len(first) >= 2, f"a correlation needs two items at least; got {len(first)}")
    a, b = _standard(first), _standard(second)
    weights = _weights(len(a), groups, draws, seed)
    own = _correlation(np.ones((1, len(a))), a, b)
    return Interval(float(own[0]), *_between(_correlation(weights, a, b), share))


def r2_interval(
    predicted: Values,
    truth: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Share of the truth's variance that is predicted (R squared): 1 all, 0 no more than its mean
    would, less than 0 worse than that. Other arguments as in `mean_interval`."""
    error, spread = (predicted - truth) ** 2, (truth - truth.mean()) ** 2
    expect(spread.any(), "what never changes has no variance to predict")
    weights = _weights(len(truth), groups, draws, seed)
    return Interval(
        float(1 - error.sum() / spread.sum()),
        *_between(1 - weights @ error / (weights @ spread), share),
    )


def slope_interval(
    x: Values,
    y: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """How much of x comes about in y: the least-squares slope of y = slope x, through the origin.

    Other arguments as in `mean_interval`.
    """
    expect(x.any(), "a slope needs some x that is not 0")
    weights = _weights(len(x), groups, draws, seed)
    drawn = weights @ (x * y) / np.maximum(weights @ (x * x), 1e-300)
    return Interval(float((x * y).sum() / (x * x).sum()), *_between(drawn, share))


def auc_interval(
    embeddings: Float[np.ndarray, "n width"],
    people: Groups,
    share: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Interval:
    """Chance that two rows of one person lie closer in angle than two of different people.

    People are drawn with all their rows; a person drawn twice is not compared with itself.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    first, second = np.triu_indices(len(unit), k=1)
    cosines = (unit @ unit.T)[first, second]
    order = np.argsort(cosines, kind="stable")
    same = people[first] == people[second]
    expect(same.any() and not same.all(), "pairs of one person and of two are needed")
    # Pairs of equal cosine count half: their rank is the middle of their run.
    _, run, counts = np.unique(cosines[order], return_inverse=True, return_counts=True)
    ends = counts.cumsum() - 1
    first, second, same = first[order], second[order], same[order]

    def score(weights: Float[np.ndarray, " n"]) -> float:
        one = np.where(same, weights[first], 0.0)
        two = np.where(same, 0.0, weights[first] * weights[second])
        below = two.cumsum()[ends]
        middle = (np.concatenate([[0.0], below[:-1]]) + below) / 2
        return float(one @ middle[run] / max(one.sum() * two.sum(), 1e-300))

    drawn = np.array([score(row) for row in _weights(len(unit), people, draws, seed)])
    return Interval(score(np.ones(len(unit))), *_between(drawn, share))


def paired_difference(
    first: Values,
    second: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Mean of first minus second, item by item, with its interval and p value."""
    gap, groups = first - second, _numbered(len(first), groups)
    means = _weighted_means(_weights(len(gap), groups, draws, seed), gap)
    return Difference(float(gap.mean()), *_between(means, share), _two_sided(means, groups))


def paired_correlations(
    first: Values,
    second: Values,
    truth: Values,
    groups: Groups | None = None,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Pearson's r of first with the truth minus that of second, with its interval and p value.

    Every draw takes the same items for both, so that what is hard for both cancels. An r is 0 where
    one of its two never changes.
    """
    expect(len(truth) >= 2, f"a correlation needs two items at least; got {len(truth)}")
    one, two, true = (_standard(x) for x in (first, second, truth))
    apart = lambda weights: _correlation(weights, one, true) - _correlation(weights, two, true)
    groups = _numbered(len(true), groups)
    own = float(apart(np.ones((1, len(true))))[0])
    drawn = apart(_weights(len(true), groups, draws, seed))
    return Difference(own, *_between(drawn, share), _two_sided(drawn, groups))


def _two_sided(drawn: Float[np.ndarray, " draws"], groups: Groups) -> float:
    beyond = min((drawn <= 0).mean(), (drawn >= 0).mean())
    # One more than was counted: no number of draws shows that chance is impossible.
    p = 2 * (beyond * len(drawn) + 1) / (len(drawn) + 1)
    return float(np.clip(p, 2.0 ** -groups.max(), 1))


def _weights(n: int, groups: Groups | None, draws: int, seed: int) -> Float[np.ndarray, "draws n"]:
    """How often each item is in each draw."""
    expect(n > 0, "an interval needs items; there is none")
    groups = _numbered(n, groups)
    return _counts(int(groups.max()) + 1, draws, seed)[:, groups].astype(float)


def _numbered(n: int, groups: Groups | None) -> Groups:
    """Groups by numbers from 0 on; each item alone by default."""
    return np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]


@functools.lru_cache(maxsize=1)
def _counts(groups: int, draws: int, seed: int) -> Int[np.ndarray, "draws groups"]:
    """How often each group is in each draw; kept, for drawing takes longer than all that follows
    and one table asks for the same people hundreds of times."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(np.int32)
    drawn.setflags(write=False)
    return drawn


def _weighted_means(
    weights: Float[np.ndarray, "draws n"], values: Values
) -> Float[np.ndarray, " draws"]:
    return weights @ values / weights.sum(1)


def _standard(values: Values) -> Values:
    """Of mean 0 and spread 1, or all 0: sums of squares stay exact, however large the numbers."""
    return (values - values.mean()) / max(values.std(), 1e-12)


def _correlation(
    weights: Float[np.ndarray, "draws n"], a: Values, b: Values
) -> Float[np.ndarray, " draws"]:
    means = lambda x: _weighted_means(weights, x)
    covariance = means(a * b) - means(a) * means(b)
    spread = lambda x: (means(x * x) - means(x) ** 2).clip(min=0)
    norms = np.sqrt(spread(a) * spread(b))
    return np.divide(covariance, norms, out=np.zeros(len(norms)), where=norms > 1e-9)


def _between(drawn: Float[np.ndarray, " draws"], share: float) -> tuple[float, float]:
    expect(0 < share < 1, f"an interval holds a share in (0, 1); got {share}")
    low, high = np.quantile(drawn, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
