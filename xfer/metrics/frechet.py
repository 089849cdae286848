"""How alike two sets of pictures are, from features that any extractor gives.

Fréchet distance: Heusel et al., 2017. Precision and recall: Kynkäänniemi et al., 2019.
"""

from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from xfer.errors import expect
from xfer.metrics.intervals import Interval

FeatureSet = Float[np.ndarray, "_ features"]
RowGroups = Int[np.ndarray, " _"]
DRAWS = 60
"""Enough for a standard error (Efron and Tibshirani, 1993, section 6.4)."""


def frechet_distance(first: FeatureSet, second: FeatureSet) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)). With C = R' R, of which R is as small as
    pictures or features are few, the root's trace is the sum of the singular values of R1 R2'.
    """
    for features in (first, second):
        expect(len(features) >= 2, f"a set has at least two pictures; got {len(features)}")
    mean_gap = np.square(first.mean(0) - second.mean(0)).sum()
    r1, r2 = (_factor(features.astype(np.float64)) for features in (first, second))
    cross = np.linalg.svd(r1 @ r2.T, compute_uv=False).sum()
    spread = np.square(r1).sum() + np.square(r2).sum()
    # Rounding may leave a little less than nothing.
    return max(0.0, float(mean_gap + spread - 2 * cross))


def _factor(features: FeatureSet) -> FeatureSet:
    """R of the covariance R' R."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return np.linalg.qr(centred, mode="r")


def frechet_interval(
    first: FeatureSet,
    second: FeatureSet,
    first_groups: RowGroups,
    second_groups: RowGroups,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The distance, give or take its bootstrap standard error times the normal quantile.

    Not percentiles: sets that are drawn again hold fewer different pictures, so that their
    distances lie higher than that of the sets themselves.

    Args:
        first_groups, second_groups: Rows of one number, such as a person's, are drawn together, in
            both sets.
    """
    expect(0 < share < 1, f"an interval holds a share in (0, 1); got {share}")
    names = np.unique(np.concatenate([first_groups, second_groups]))
    rng, count = np.random.default_rng(seed), len(names)
    again = lambda features, groups, times: features.repeat(times[names.searchsorted(groups)], 0)
    drawn = [
        frechet_distance(again(first, first_groups, times), again(second, second_groups, times))
        for times in rng.multinomial(count, np.full(count, 1 / count), size=draws)
    ]
    value = frechet_distance(first, second)
    reach = NormalDist().inv_cdf((1 + share) / 2) * float(np.std(drawn))
    return Interval(value, max(0.0, value - reach), value + reach)


def precision_recall(
    real: FeatureSet, drawn: FeatureSet, neighbours: int = 3
) -> tuple[float, float]:
    """Share of drawn pictures inside the real manifold, and of real ones inside the drawn.

    A manifold is the union of balls around its points that reach to the k-th neighbour.
    """
    smaller = min(len(real), len(drawn))
    expect(
        1 <= neighbours < smaller,
        f"neighbours lie between 1 and {smaller - 1}, the smaller set less one; got {neighbours}",
    )
    return _inside(drawn, real, neighbours), _inside(real, drawn, neighbours)


def _inside(points: FeatureSet, manifold: FeatureSet, neighbours: int) -> float:
    reach = cKDTree(manifold).query(manifold, k=neighbours + 1)[0][:, -1]
    return float((cdist(points, manifold) <= reach[None]).any(1).mean())
