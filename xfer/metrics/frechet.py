"""How alike two sets of pictures are, from features that any extractor gives.

Fréchet distance: Heusel et al., 2017. Precision and recall: Kynkäänniemi et al., 2019.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from xfer.errors import expect

FeatureSet = Float[np.ndarray, "_ features"]


def frechet_distance(first: FeatureSet, second: FeatureSet) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)); the root's trace is the sum of the roots
    of the eigenvalues of C1 C2, which are those of the symmetric C1^(1/2) C2 C1^(1/2).
    """
    for features in (first, second):
        expect(len(features) >= 2, f"a set has at least two pictures; got {len(features)}")
    mean_gap = np.square(first.mean(0) - second.mean(0)).sum()
    c1, c2 = (np.atleast_2d(np.cov(f.astype(np.float64), rowvar=False)) for f in (first, second))
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(min=0)).sum()
    return float(mean_gap + np.trace(c1) + np.trace(c2) - 2 * cross)


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
