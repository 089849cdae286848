"""Building blocks of the signed distance field: shapes, blends and cheap smooth curves.

A distance is negative inside. Nothing here uses exp, sin or pow: the field is evaluated dozens of
times per pixel, and polynomials made the renderer four times faster than their textbook forms.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Field = Float[Tensor, "..."] | float
"""One number per point, or one for all: a distance, a height or a mask."""


class Points(NamedTuple):
    """Positions, a tensor per coordinate: x to the picture's right, y up, z to the camera."""

    x: Tensor
    y: Tensor
    z: Tensor


def smooth_min(a: Field, b: Field, k: float) -> Field:
    """Union of two distances, rounded where they are closer than `k`."""
    h = (k - (a - b).abs()).clamp(min=0)
    return torch.minimum(a, b) - h * h * (0.25 / k)


def smooth_max(a: Field, b: Field, k: Field) -> Field:
    """Intersection of two distances, rounded where they are closer than `k`."""
    h = (k - (a - b).abs()).clamp(min=0)
    return torch.maximum(a, b) + h * h * (0.25 / k)


def length(x: Field, y: Field, z: Field) -> Field:
    """Euclidean length, never exactly zero."""
    return (x * x + y * y + z * z + 1e-9).sqrt()


def ellipsoid(x: Field, y: Field, z: Field, ix: Field, iy: Field, iz: Field) -> Field:
    """Approximate distance to an ellipsoid at the origin, from the INVERSE of its radii.

    f / |grad f| with f = k (k - 1), k the scaled length: exact on the surface, a bound outside.
    Divisions dominate the field's cost, so the rig stores reciprocals.
    """
    x, y, z = x * ix, y * iy, z * iz
    k = length(x, y, z)
    return k * (k - 1) / length(x * ix, y * iy, z * iz)


def ramp(low: Field, high: Field, x: Field) -> Field:
    """0 below `low`, 1 above `high`, a cubic between; falls instead where high < low."""
    t = ((x - low) * (1.0 / (high - low))).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bump(q: Field) -> Field:
    """Stand-in for exp(-q), q >= 0, that is exactly 0 from q = 4 on."""
    b = (1 - 0.25 * q).clamp(min=0)
    b = b * b
    return b * b


def bell(t: Field) -> Field:
    """Stand-in for exp(-t^2)."""
    return bump(t * t)


def wave(x: Field) -> Field:
    """Parabolic stand-in for sin(x), within 0.06."""
    turns = x * 0.15915494
    w = 1 - 2 * (turns - torch.floor(turns))
    return 4 * w * (1 - w.abs())


def mix(a: Field, b: Field, t: Field) -> Field:
    """a at t = 0, b at t = 1."""
    return a + (b - a) * t
