"""Metrics, a decorated function each, and how sure their means are over people.

    @metric("psnr", better="higher", unit="dB")
    def psnr(output: Images, truth: Images) -> Values: ...

An evaluation calls every metric whose arguments it has, by their names, with the frames of one
trial as rows:

    output, identity: Images in [-1, 1], `n 3 height width`: the face in each frame, and in the
        identity's portrait, as often; truth, too, in self and generated mode.
    output_pose_deg, driver_pose_deg: Yaw, pitch, roll in degrees, `n 3`.
    output_factors, driver_factors: Expression factors in units of the factor, `n factors`.
    output_codes, driver_codes, identity_codes: A recogniser's codes, `n width`.

A metric gives a value for each frame, or one for the whole video. Intervals: Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993, chapters 13 to 16.
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats
from skimage.metrics import structural_similarity

from xfer.errors import BadValue

Images = Float[np.ndarray, "n 3 height width"]
Table = Float[np.ndarray, "n factors"]
Poses = Float[np.ndarray, "n 3"]
Codes = Float[np.ndarray, "n width"]
Values = Float[np.ndarray, " n"]
Rows = Shaped[np.ndarray, "n ..."]
People = Int[np.ndarray, " n"]

METRICS: dict[str, "Metric"] = {}


class Metric(NamedTuple):
    """A metric with its direction and unit."""

    name: str
    function: Callable[..., np.ndarray | float]
    better: Literal["higher", "lower"]
    unit: str

    def __str__(self) -> str:
        """Name, unit and which way is better."""
        return f"{self.name} ({', '.join(filter(None, (self.unit, self.better)))})"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the arguments without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)


def metric(name: str, better: Literal["higher", "lower"], unit: str = "") -> Callable:
    """Register a function that gives a value for each row of its arguments, or one for all."""

    def register(function: Callable) -> Callable:
        METRICS[name] = Metric(name, function, better, unit)
        return function

    return register


def measure(**arguments: Any) -> dict[str, np.ndarray | float]:
    """Values of every registered metric whose arguments are there, by the metric's name."""
    ready = (m for m in METRICS.values() if set(m.needs) <= arguments.keys())
    return {m.name: m.function(**{name: arguments[name] for name in m.needs}) for m in ready}


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


# Intervals ------------------------------------------------------------


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
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """A statistic of some rows with its 95% percentile interval.

    Args:
        statistic: Of arrays shaped as `data` with any number of rows, such as `numpy.mean`.
        people: Rows of one number are drawn together; by default each row alone.
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
        (everyone,), of_rows, vectorized=False, n_resamples=draws, confidence_level=0.95,
        method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(value, float(limits.low), float(limits.high))


def paired_test(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    people: People | None = None,
    draws: int = 4000,
    seed: int = 0,
) -> Difference:
    """Mean of first minus second over people, its interval and the p value of sign flips.

    The p value is two-sided, exact where all flips of people's signs number at most `draws`, and
    never below two of them: so often all people agree by luck.
    """
    gap = first - second
    gaps = np.array([gap[rows].mean() for rows in _rows_of_each(len(gap), people)])
    value, low, high = bootstrap(np.mean, gaps, draws=draws, seed=seed)
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
