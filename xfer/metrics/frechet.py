"""How alike two sets of images are, from features that any extractor gives.

Fréchet distance: Heusel et al., 2017. Precision and recall: Kynkäänniemi et al., 2019.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from xfer.errors import BadValue

FeatureSet = Float[np.ndarray, "_ features"]


def frechet_distance(first: FeatureSet, second: FeatureSet) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)). With C = R' R, of which R is as small as
    images or features are few, the root's trace is the sum of the singular values of R1 R2'.
    """
    if min(len(first), len(second)) < 2:
        raise BadValue(f"two images a set are required; got {len(first)} and {len(second)}")
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


def precision_recall(
    real: FeatureSet, generated: FeatureSet, neighbours: int = 3
) -> tuple[float, float]:
    """Share of generated images inside the real manifold, and of real ones inside theirs.

    A manifold is the union of balls around its points that reach to the k-th neighbour.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise BadValue(
            f"more than {neighbours} images a set are required; got {len(real)} and "
            f"{len(generated)}"
        )
    return _inside(generated, real, neighbours), _inside(real, generated, neighbours)


def _inside(points: FeatureSet, manifold: FeatureSet, neighbours: int) -> float:
    reach = cKDTree(manifold).query(manifold, k=neighbours + 1)[0][:, -1]
    return float((cdist(points, manifold) <= reach[None]).any(1).mean())
