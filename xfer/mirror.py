"""What a mirror does to a face's factors and landmarks: left and right change places."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TURNED = ("yaw_deg", "brow_tilt", "gaze_x")
"""Factors with a direction to the left or right: their signs change."""
SIDES = ("_left", "_right")
"""Endings of factors of one side: they change places."""
POINTS = (
    *range(16, -1, -1),  # jaw line
    *range(26, 16, -1),  # brows
    27, 28, 29, 30,  # bridge of the nose
    35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46,  # eyes
    39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,  # outer lips
    64, 63, 62, 61, 60, 67, 66, 65,  # inner lips
)  # fmt: skip
"""Which of the 68 points each one is in the mirror image."""


def mirrored_factors(
    values: Float[Tensor, "batch factors"], names: Sequence[str]
) -> Float[Tensor, "batch factors"]:
    """The factors of mirror images, in the same order."""
    signs = torch.tensor([-1.0 if name in TURNED else 1.0 for name in names])
    order = [names.index(_other_side(name)) for name in names]
    return values[:, order] * signs.to(values)


def mirrored_points(points: Float[Tensor, "batch 68 2"]) -> Float[Tensor, "batch 68 2"]:
    """The landmarks of mirror images, in the crop, whose middle is 0."""
    return points[:, list(POINTS)] * points.new_tensor([-1.0, 1.0])


def _other_side(name: str) -> str:
    left, right = SIDES
    for this, that in ((left, right), (right, left)):
        if name.endswith(this):
            return name.removesuffix(this) + that
    return name
