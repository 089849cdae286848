"""Landmarks over time: what detectors jitter is smoothed away, so that crops stand still.

`smooth` sees the whole clip and adds no delay; `LandmarkFilter` sees frames as they come and trades
jitter against lag. Source of the latter: Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012.
"""

import math

import numpy as np
from jaxtyping import Float, Int

Track = Float[np.ndarray, "frames 68 2"]

LONGEST_GAP = 0.5
"""Seconds without a face after which nothing is smoothed across."""
BLOCK = 1024
"""Frames smoothed at a time, so that sums in double precision take little memory."""


def segments(
    times: Float[np.ndarray, " frames"], shots: Int[np.ndarray, " frames"]
) -> Int[np.ndarray, " frames"]:
    """Number of the unbroken piece that each frame belongs to: one shot, no long gap."""
    breaks = (np.diff(times) > LONGEST_GAP) | (np.diff(shots) != 0)
    return np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)


def smooth(
    points: Track,
    times: Float[np.ndarray, " frames"],
    pieces: Int[np.ndarray, " frames"],
    seconds: float,
) -> Track:
    """Each frame as the mean of its neighbours in time, weighted by a Gaussian.

    Args:
        times: In seconds, increasing; need not be even.
        pieces: As from `segments`; neighbours come from the same piece.
        seconds: Standard deviation of the Gaussian; 0 changes nothing.
    """
    if seconds <= 0 or len(times) < 2:
        return points.copy()
    step = max(float(np.median(np.diff(times))), 1e-4)
    reach = min(len(times) - 1, math.ceil(3 * seconds / step))
    smoothed = np.empty_like(points)
    for start in range(0, len(times), BLOCK):
        first, last = max(start - reach, 0), start + BLOCK + reach
        some = _smoothed(points[first:last], times[first:last], pieces[first:last], seconds, reach)
        smoothed[start : start + BLOCK] = some[start - first :][:BLOCK]
    return smoothed


def _smoothed(
    points: Track,
    times: Float[np.ndarray, " frames"],
    pieces: Int[np.ndarray, " frames"],
    seconds: float,
    reach: int,
) -> Track:
    """As `smooth`, from neighbours no more than `reach` frames away."""
    total = points.astype(np.float64)
    weight = np.ones(len(times))
    for offset in range(1, min(reach, len(times) - 1) + 1):
        apart = (times[offset:] - times[:-offset]) / seconds
        w = np.exp(-0.5 * apart**2) * (pieces[offset:] == pieces[:-offset])
        for here, there in ((slice(offset, None), slice(None, -offset)),
                            (slice(None, -offset), slice(offset, None))):  # fmt: skip
            total[here] += w[:, None, None] * points[there]
            weight[here] += w
    return (total / weight[:, None, None]).astype(points.dtype)


def jitter(points: Track) -> float:
    """Root mean square of the second difference over frames, in pixels: 0 for even motion."""
    if len(points) < 3:
        return 0.0
    return float(np.sqrt(np.mean(np.diff(points, 2, axis=0) ** 2)))


def lag(points: Track, truth: Track, times: Float[np.ndarray, " frames"]) -> float:
    """Seconds by which `points` come later than `truth`: the shift in time that explains most.

    Least squares to first order, points(t) = truth(t - lag); for lags short against the motion.
    """
    speed = np.gradient(truth.astype(np.float64), times, axis=0)
    late = -(points.astype(np.float64) - truth) * speed
    return float(late.sum() / max((speed**2).sum(), 1e-12))


class LandmarkFilter:
    """The 1 euro filter on the landmarks of frames as they come: still when slow, quick when fast.

    Args:
        cutoff_hz: Of the low pass on a face at rest; lower is stiller.
        speed_gain: How much the cutoff rises with speed, measured in face widths a second.
    """

    def __init__(self, cutoff_hz: float = 1.5, speed_gain: float = 12.0):
        self.cutoff_hz, self.speed_gain = cutoff_hz, speed_gain
        self._time: float | None = None
        self._points = self._speed = np.zeros((68, 2))

    def __call__(self, points: Float[np.ndarray, "68 2"], time: float) -> Float[np.ndarray, "68 2"]:
        """The smoothed landmarks at `time` in seconds; a long gap starts anew."""
        if self._time is None or not 0 < time - self._time <= LONGEST_GAP:
            self._points, self._speed = points.astype(np.float64), np.zeros((68, 2))
        else:
            self._step(points, time - self._time)
        self._time = time
        return self._points.astype(points.dtype)

    def _step(self, points: Float[np.ndarray, "68 2"], seconds: float) -> None:
        speed = (points - self._points) / seconds
        self._speed += _share(1.0, seconds) * (speed - self._speed)
        width = max(float(np.ptp(self._points[:17, 0])), 1.0)
        # One pace for all points: the face moves as one, single points only jitter.
        pace = float(np.linalg.norm(self._speed.mean(0))) / width
        mix = _share(self.cutoff_hz + self.speed_gain * pace, seconds)
        self._points += mix * (points - self._points)

    def reset(self) -> None:
        """Forget the past, as at a cut."""
        self._time = None


def _share(cutoff_hz: float, seconds: float) -> float:
    """How much of a new value a low pass of this cutoff takes over in one step."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * seconds))
