"""How near an output image comes to what it should show: arrays in, one value a row out.

Arguments that metrics share, row by row of the same trials:
    output, truth: Images in [-1, 1], `n 3 height width`.
    output_pose_deg, driver_pose_deg: Yaw, pitch, roll in degrees, `n 3`.
    output_factors, driver_factors: Expression factors in units of the factor, `n factors`.
    output_codes, identity_codes: A recogniser's codes, `n width`.
"""

import numpy as np
from jaxtyping import Float, Int
from skimage.metrics import structural_similarity
from sklearn.metrics import roc_auc_score

from xfer.errors import BadValue
from xfer.metrics import metric

Images = Float[np.ndarray, "n 3 height width"]
Table = Float[np.ndarray, "n factors"]
Poses = Float[np.ndarray, "n 3"]
Codes = Float[np.ndarray, "n width"]
Values = Float[np.ndarray, " n"]

LEAST_ERROR = 1e-10
"""Mean square at which PSNR ends: equal images are at 106 dB."""


@metric("psnr", better="higher", unit="dB")
def psnr(output: Images, truth: Images) -> Values:
    """Peak signal-to-noise ratio; the peak is 2."""
    error = np.square(output.clip(-1, 1) - truth).mean((1, 2, 3))
    return 10 * np.log10(4 / error.clip(min=LEAST_ERROR))


@metric("ssim", better="higher")
def ssim(output: Images, truth: Images) -> Values:
    """Structural similarity (Wang et al., 2004) with the published Gaussian window."""
    settings = {"data_range": 2.0, "gaussian_weights": True, "sigma": 1.5}
    return np.array(
        [
            structural_similarity(a, b, channel_axis=0, use_sample_covariance=False, **settings)
            for a, b in zip(output.clip(-1, 1), truth, strict=True)
        ]
    )


@metric("pose_error", better="lower", unit="deg")
def pose_error(output_pose_deg: Poses, driver_pose_deg: Poses) -> Values:
    """Mean distance of yaw, pitch and roll, the short way round."""
    return np.abs((output_pose_deg - driver_pose_deg + 180.0) % 360.0 - 180.0).mean(1)


@metric("expression_error", better="lower", unit="units")
def expression_error(output_factors: Table, driver_factors: Table) -> Values:
    """Mean distance over the expression factors."""
    return np.abs(output_factors - driver_factors).mean(1)


@metric("identity_distance", better="lower")
def identity_distance(output_codes: Codes, identity_codes: Codes) -> Values:
    """Euclidean distance of two codes of a recogniser; dlib accepts pairs below 0.6."""
    return np.linalg.norm(output_codes - identity_codes, axis=1)


@metric("identity_cosine", better="higher")
def identity_cosine(output_codes: Codes, identity_codes: Codes) -> Values:
    """Cosine of two codes of a recogniser."""
    return (_unit(output_codes) * _unit(identity_codes)).sum(1)


def correlation(output: Values, driver: Values) -> float:
    """Pearson's r of what the output shows with what the driver shows; 0 if one is constant."""
    a, b = output - output.mean(), driver - driver.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 1e-12 else 0.0


def slope(output: Values, driver: Values) -> float:
    """How far the output moves for one unit of the driver's motion: 1 is all of it."""
    a, b = output - output.mean(), driver - driver.mean()
    return float(a @ b / (b @ b)) if b @ b > 1e-12 else 0.0


def pair_cosines(codes: Codes, people: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of one person, and of all pairs of two."""
    first, second = np.triu_indices(len(codes), k=1)
    cosines = (_unit(codes) @ _unit(codes).T)[first, second]
    same = people[first] == people[second]
    if same.all() or not same.any():
        raise BadValue(f"pairs of one person and of two are required; got {same.sum()} of one")
    return cosines[same], cosines[~same]


def auc(same: np.ndarray, different: np.ndarray) -> float:
    """Chance that a pair of one person scores above a pair of two."""
    labels = np.r_[np.ones(len(same)), np.zeros(len(different))]
    return float(roc_auc_score(labels, np.r_[same, different]))


def true_accept_rate(same: np.ndarray, different: np.ndarray, false_accepts: float = 0.01) -> float:
    """Share of same-person pairs above the threshold that `false_accepts` of the others pass."""
    return float((same > np.quantile(different, 1 - false_accepts)).mean())


def ranks(
    codes: Codes, gallery: Float[np.ndarray, "m width"], owners: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """The rank, from 1, of each code's owner (a row of the gallery) among all of the gallery."""
    cosines = _unit(codes) @ _unit(gallery).T
    own = np.take_along_axis(cosines, owners[:, None], axis=1)
    return 1 + (cosines > own).sum(1)


def _unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.linalg.norm(codes, axis=1, keepdims=True).clip(min=1e-12)
