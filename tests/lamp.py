"""A generator of brightness and a reader of it: stand-ins whose answers are known beforehand."""

import numpy as np
import torch
from torch import nn

from xfer.control import Control
from xfer.errors import NoFace
from xfer.face_reader import Face, FaceReader
from xfer.landmarker import FACTORS
from xfer.media.images import to_array

STYLES, WIDTH = 3, 12


class Lamp(nn.Module):
    """Its image is as bright as the first number of the code."""

    n_styles, w_dim, z_dim, resolution = STYLES, WIDTH, WIDTH, 1024

    def __init__(self):
        super().__init__()
        self.register_buffer("w_mean", torch.zeros(WIDTH))

    def prepare(self, size=None):
        self.size = size or self.resolution
        return self

    mapping = lambda self, z: z / 3
    truncate = lambda self, w_plus, psi: psi * w_plus
    to_w_plus = lambda self, w: w[:, None].expand(-1, STYLES, -1)
    synthesis = lambda self, w_plus: self.preview(w_plus, self.size)
    frames = lambda self, w_plus: to_array(self.synthesis(w_plus))
    stream = lambda self, codes, preview=False: (self.frames(w_plus)[0] for w_plus in codes)

    def preview(self, w_plus, size=256):
        return w_plus.flatten(1)[:, 0, None, None, None].expand(-1, 3, size, size)


def moving(factor: str, *styles: int) -> Control:
    """A control by which a unit of one factor, or of any, makes these styles 0.1 brighter."""
    directions = torch.zeros(len(FACTORS), STYLES, WIDTH)
    directions[slice(None) if factor == "any" else FACTORS.index(factor), list(styles), 0] = 0.1
    return Control.from_directions(directions, torch.eye(WIDTH), n_styles=STYLES)


class BrightnessReader(FaceReader):
    """Finds a face wherever an image is not black; its red is the smile, its green the yaw."""

    def __init__(self):
        pass

    def read(self, image):
        smile, yaw, _ = image.mean((0, 1)) / 255
        factors = np.zeros(len(FACTORS), np.float32)
        factors[[FACTORS.index("smile"), 0]] = smile, 10 * yaw
        quad = np.array([[8, 8], [8, 24], [24, 24], [24, 8]], np.float64)
        points = np.random.default_rng(0).uniform(12, 20, (478, 3)).astype(np.float32)
        face = Face(points, np.zeros(52, np.float32), 0.0, 0.0, 0.0, 1, quad, factors)
        return [face] if image.any() else []

    def main(self, image, face=None):
        if not (faces := self.read(image)):
            raise NoFace("a face is required; none was found")
        return faces[0]

    def track(self, frames, smoothing_s=0.1, face=None, live=False):
        return (next(iter(self.read(frame.image)), None) for frame in frames)
