"""The FFHQ crop: from 68 landmarks to the square that alignment cuts out, and back.

Pure geometry shared by everything that aligns: real pictures are resampled through the crop, the
face world renders straight through it, and results are pasted back with its inverse.
Source: Karras et al., "A Style-Based Generator Architecture for GANs", 2019, data set appendix.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Crop(NamedTuple):
    """An oriented square in picture coordinates (pixels, x right, y down)."""

    center: Float[Tensor, "batch 2"]
    """Middle of the square."""
    half: Float[Tensor, "batch 2"]
    """From the middle to the middle of the right edge; its length is half the side."""

    @property
    def down(self) -> Float[Tensor, "batch 2"]:
        """From the middle to the middle of the lower edge: `half` turned by 90 degrees."""
        return torch.stack([-self.half[:, 1], self.half[:, 0]], dim=1)

    @property
    def side(self) -> Float[Tensor, " batch"]:
        """Length of an edge in pixels."""
        return 2 * self.half.norm(dim=1)

    @property
    def roll_deg(self) -> Float[Tensor, " batch"]:
        """Rotation of the square against the picture in degrees, clockwise on screen."""
        return torch.rad2deg(torch.atan2(self.half[:, 1], self.half[:, 0]))


def ffhq_crop(landmarks: Float[Tensor, "batch 68 2"]) -> Crop:
    """The crop of FFHQ, from the eyes' middles and the mouth's corners.

    Args:
        landmarks: iBUG 68 points in picture coordinates (pixels, x right, y down).
    """
    left_eye, right_eye = landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)
    mouth = (landmarks[:, 48] + landmarks[:, 54]) / 2
    eyes = (left_eye + right_eye) / 2
    eye_to_eye, eye_to_mouth = right_eye - left_eye, mouth - eyes
    # The horizontal axis averages the line of the eyes and the normal of the eyes-to-mouth line.
    normal = torch.stack([eye_to_mouth[:, 1], -eye_to_mouth[:, 0]], dim=1)
    axis = eye_to_eye + normal
    length = torch.maximum(2.0 * eye_to_eye.norm(dim=1), 1.8 * eye_to_mouth.norm(dim=1))
    half = axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-12) * length[:, None]
    return Crop(eyes + 0.1 * eye_to_mouth, half)


def crop_to_picture(crop: Crop, points: Float[Tensor, "batch n 2"]) -> Float[Tensor, "batch n 2"]:
    """Points of the crop in [-1, 1] (x right, y down) to picture coordinates in pixels."""
    u, v = points[..., :1], points[..., 1:]
    return crop.center[:, None] + u * crop.half[:, None] + v * crop.down[:, None]


def picture_to_crop(crop: Crop, points: Float[Tensor, "batch n 2"]) -> Float[Tensor, "batch n 2"]:
    """Inverse of `crop_to_picture`."""
    offset = points - crop.center[:, None]
    scale = crop.half.square().sum(1)[:, None]
    u = (offset * crop.half[:, None]).sum(2) / scale
    v = (offset * crop.down[:, None]).sum(2) / scale
    return torch.stack([u, v], dim=2)
