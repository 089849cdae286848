"""Glasses, and the body below the head."""

import torch

from xfer.faceworld.fields import Field, Points
from xfer.faceworld.hair import FAR
from xfer.faceworld.measures import Rig


def _tube(a: Field, b: Field, radius: float) -> Field:
    return (a * a + b * b + 1e-9).sqrt() - radius


def glasses_distance(rig: Rig, p: Points) -> Field:
    """Two rims, the bridge between them and a bow to each ear."""
    own, across = rig.extras, p.x.abs()
    z = p.z - own.lens_z + 0.28 * across * across
    y = p.y - rig.eyes.y
    qx = (across - own.lens_x).abs() - own.lens_width + own.lens_round
    qy = (y + 0.02).abs() - own.lens_height + own.lens_round
    outline = (qx.clamp(min=0).square() + qy.clamp(min=0).square() + 1e-9).sqrt()
    outline = outline + torch.maximum(qx, qy).clamp(max=0) - own.lens_round
    rim = _tube(outline, z, 0.017)
    bridge = torch.maximum(_tube(y - 0.03, z, 0.014), across - rig.eyes.x + own.lens_width)
    hinge = own.lens_x + own.lens_width + 0.01
    back = ((own.lens_z - p.z) / (own.lens_z + 0.12)).clamp(0, 1)
    bow = _tube(across - hinge - (rig.ears.x - hinge) * back, y - 0.03, 0.014)
    bow = torch.maximum(bow, torch.maximum(p.z - own.lens_z + 0.12, -0.12 - p.z))
    return torch.minimum(torch.minimum(rim, bridge), bow) + (1 - own.glasses) * FAR


def neck_distance(rig: Rig, p: Points) -> Field:
    """The neck, widening into the shoulders. World coordinates: the body does not turn."""
    t = ((p.y + 0.5) * (-1 / 0.85)).clamp(0, 1)
    y, z = p.y + 0.5 + 0.85 * t, p.z + 0.17 + 0.14 * t
    return (p.x * p.x + y * y + z * z + 1e-9).sqrt() - rig.extras.neck - 0.20 * t * t * t * t


def shirt_distance(p: Points) -> Field:
    """Shoulders in clothes, in world coordinates."""
    beyond = (p.x.abs() - 0.62).clamp(min=0)
    y = p.y + 1.66 + 0.176 * (p.x * p.x).clamp(max=1.2)
    z = p.z + 0.30
    return (0.8 * beyond * beyond + 0.9 * y * y + 1.3 * z * z + 1e-9).sqrt() - 0.50
