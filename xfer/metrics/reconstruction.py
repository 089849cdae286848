"""How near an output image comes to what it should show: arrays in, one value a row out.

Arguments that metrics share, row by row of the same trials:
    output, truth: Images in [-1, 1], `n 3 height width`.
    output_pose_deg, driver_pose_deg: Yaw, pitch, roll in degrees, `n 3`.
    output_factors, driver_factors: Expression factors in units of the factor, `n factors`.
    output_codes, identity_codes: A recogniser's codes, `n width`.
"""

import numpy as np
from jaxtyping import Float
from skimage.metrics import structural_similarity

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


def _unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.linalg.norm(codes, axis=1, keepdims=True).clip(min=1e-12)
