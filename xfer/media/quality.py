"""What an aligned frame is worth: sharpness, size, pose, and where a clip is cut.

Measures are numbers in the units of their names; the limits that make them flags are below.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy import ndimage

from xfer.media.detectors import Points
from xfer.media.pictures import Pixels

LEAST_SHARPNESS = 1.2
"""Levels of 255; a well-focused face has 3 to 10 at 256 pixels."""
LEAST_ENLARGED = 0.5
"""Source pixels per pixel of the result: below, the face was enlarged more than twice."""
MOST_YAW_DEG, MOST_PITCH_DEG = 60.0, 40.0
MOST_OUTSIDE = 0.15
"""Share of the crop that lies outside the picture."""
CUT_LEVELS = 30.0
"""Mean change of a thumbnail from frame to frame, in levels of 255, that looks like a cut."""
THUMBNAIL = 24

# A plain head, in millimetres: x to its left as seen, y down, z towards the viewer.
_HEAD = {
    8: (0, 78, -12), 27: (0, -32, 2), 30: (0, 8, 24), 31: (-14, 20, 2), 35: (14, 20, 2),
    36: (-45, -28, -24), 39: (-17, -27, -12), 42: (17, -27, -12), 45: (45, -28, -24),
    48: (-25, 42, -10), 54: (25, 42, -10), 2: (-66, 24, -72), 14: (66, 24, -72),
}  # fmt: skip


def head_pose(points: Points) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, read off the landmarks: rough, within some 5 degrees.

    A plain head is fitted under weak perspective. Yaw is positive where the face looks to the
    picture's right, pitch where it looks up, roll where it leans counter-clockwise on screen.
    """
    head = np.array(list(_HEAD.values()), np.float64)
    seen = points[list(_HEAD)].astype(np.float64)
    head, seen = head - head.mean(0), seen - seen.mean(0)
    camera, *_ = np.linalg.lstsq(head, seen, rcond=None)
    u, _, v = np.linalg.svd(camera.T, full_matrices=False)
    x_row, y_row = u @ v
    z_row = np.cross(x_row, y_row)
    yaw = np.degrees(np.arctan2(x_row[2], np.hypot(y_row[2], z_row[2])))
    pitch = -np.degrees(np.arctan2(y_row[2], z_row[2]))
    roll = -np.degrees(np.arctan2(y_row[0], x_row[0]))
    return float(yaw), float(pitch), float(roll)


def sharpness(pixels: Pixels) -> float:
    """Mean detail in the middle of an aligned picture, in levels of 255."""
    size = min(pixels.shape[:2])
    cut = slice(size // 4, size - size // 4)
    grey = pixels[cut, cut].astype(np.float32).mean(2)
    return float(np.abs(grey - ndimage.gaussian_filter(grey, 0.004 * size + 0.5)).mean())


def share_outside(corners: Float[np.ndarray, "4 2"], width: int, height: int) -> float:
    """How much of an oriented square lies outside the picture, from a grid of points."""
    place = (np.arange(16) + 0.5) / 16
    u, v = np.meshgrid(place, place)
    across, down = corners[3] - corners[0], corners[1] - corners[0]
    points = corners[0] + u[..., None] * across + v[..., None] * down
    inside = (points >= -0.5).all(-1) & (points <= np.array([width, height]) - 0.5).all(-1)
    return float(1 - inside.mean())


class CutFinder:
    """Counts the shots of a video from its frames, in order."""

    def __init__(self) -> None:
        self.shot = 0
        self._last: Float[np.ndarray, "_ _ 3"] | None = None
        self._usual = 0.0

    def is_cut(self, pixels: Pixels) -> bool:
        """Whether this frame begins a new shot: it differs much, and far more than is usual."""
        small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        now = np.asarray(small, np.float32)
        change = 0.0 if self._last is None else float(np.abs(now - self._last).mean())
        self._last = now
        cut = change > max(CUT_LEVELS, 4 * self._usual)
        if cut:
            self.shot += 1
        else:
            self._usual += 0.2 * (change - self._usual)
        return cut
