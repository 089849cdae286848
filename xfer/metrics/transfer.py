"""How near a transfer comes to what it should show: arrays in, numbers out.

Angles are in degrees, other factors in their own units, landmarks in distances of the eyes' outer
corners, pictures in [-1, 1]. Everything but correlations and jitter is given picture by picture,
so that intervals and tests can be made of it.
"""

import numpy as np
from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity

from xfer.errors import expect
from xfer.metrics.recognition import Embeddings, People, Scores, accept_threshold, pair_scores

Values = Float[np.ndarray, " n"]
Table = Float[np.ndarray, "n factors"]
Points = Float[np.ndarray, "n points 2"]
Pictures = Float[np.ndarray, "n 3 height width"]
Mask = Bool[np.ndarray, "n height width"]

LEFT_EYE, RIGHT_EYE = 36, 45
"""Outer corners of the eyes among the 68 points."""
LEAST_ERROR = 1e-10
"""Mean square at which PSNR ends: equal pictures are at 106 dB."""


def angle_errors(found_deg: Table, true_deg: Table) -> Table:
    """Distances of angles in degrees, the short way round."""
    return np.abs((found_deg - true_deg + 180.0) % 360.0 - 180.0)


def correlations(found: Table, truth: Table) -> Float[np.ndarray, " factors"]:
    """Pearson's r of every column; 0 where one of the two never changes."""
    expect(len(found) >= 2, f"a correlation needs two pictures at least; got {len(found)}")
    found, truth = (x - x.mean(0) for x in (found, truth))
    norms = np.sqrt(np.square(found).sum(0) * np.square(truth).sum(0))
    return np.divide(
        (found * truth).sum(0), norms, out=np.zeros(found.shape[1]), where=norms > 1e-12
    )


def expression_errors(found: Table, truth: Table) -> Values:
    """Mean distance over all given factors, which have one unit."""
    return np.abs(found - truth).mean(1)


def eye_distances(points: Float[np.ndarray, "n 68 2"]) -> Values:
    """Distance of the eyes' outer corners on every face."""
    return np.linalg.norm(points[:, RIGHT_EYE] - points[:, LEFT_EYE], axis=1)


def landmark_errors(
    found: Float[np.ndarray, "n 68 2"], truth: Float[np.ndarray, "n 68 2"]
) -> Values:
    """Mean distance of the points, in the mean eye distance of all true faces.

    The mean, because a turned head's own distance shrinks and would make errors look large.
    """
    return np.linalg.norm(found - truth, axis=2).mean(1) / eye_distances(truth).mean()


def psnr(drawn: Pictures, truth: Pictures, mask: Mask | None = None) -> Values:
    """Peak signal-to-noise ratio in dB, over the mask or the whole picture; the peak is 2."""
    error = np.square(drawn.clip(-1, 1) - truth).mean(1)
    return 10 * np.log10(4 / _means(error, mask).clip(min=LEAST_ERROR))


def ssim(drawn: Pictures, truth: Pictures, mask: Mask | None = None) -> Values:
    """Structural similarity (Wang et al., 2004), its map averaged over the mask or everything.

    Gaussian window of 1.5 pixels, as published. What lies within a window of the mask's edge still
    counts a little.
    """
    expect(min(drawn.shape[2:]) >= 11, f"SSIM needs 11 pixels an edge; got {drawn.shape[2:]}")
    maps = [
        structural_similarity(
            a, b, data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )[1].mean(0)
        for a, b in zip(drawn.clip(-1, 1), truth, strict=True)
    ]  # fmt: skip
    return _means(np.stack(maps), mask)


def _means(values: Float[np.ndarray, "n height width"], mask: Mask | None) -> Values:
    if mask is None:
        return values.mean((1, 2))
    sizes = mask.sum((1, 2))
    expect((sizes > 0).all(), f"picture {int(sizes.argmin())} has an empty mask")
    return (values * mask).sum((1, 2)) / sizes


def cosines(first: Embeddings, second: Embeddings) -> Scores:
    """Row by row, how alike two sets of embeddings are."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / norms


def threshold_among(embeddings: Embeddings, people: People, false_accepts: float = 0.01) -> float:
    """The cosine that a share `false_accepts` of the pairs of two people exceeds."""
    different = pair_scores(embeddings, people)[1]
    expect(len(different) > 0, "a threshold needs pictures of two people at least")
    return accept_threshold(different, false_accepts)


def jitter(track: Float[np.ndarray, "frames ..."]) -> float:
    """Root mean square of the second difference over frames: 0 for anything that moves evenly."""
    if len(track) < 3:
        return 0.0
    return float(np.sqrt(np.square(np.diff(track, n=2, axis=0)).mean()))
