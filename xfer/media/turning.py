"""Pictures turned by any angle, and points turned back."""

import math

import numpy as np
from PIL import Image

from xfer.media.detectors import Points
from xfer.media.pictures import Pixels


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """The picture turned counter-clockwise about its middle, nothing cut off; corners are black."""
    if degrees == 0:
        return pixels
    return np.array(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR, True))


def turned_back(points: Points, degrees: float, of: tuple, into: tuple) -> Points:
    """Points of the turned picture, whose shape is `of`, in the picture of shape `into`."""
    angle = math.radians(degrees)
    middle = (np.array(of[1::-1]) - 1) / 2, (np.array(into[1::-1]) - 1) / 2
    x, y = (points - middle[0]).T
    back = np.stack(
        [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)], 1
    )
    return (back + middle[1]).astype(np.float32)
