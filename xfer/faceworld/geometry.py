"""The whole scene as one distance field, and the way between head and world coordinates."""

from enum import IntEnum

import torch
from jaxtyping import Int
from torch import Tensor

from xfer.faceworld.extras import glasses_distance, neck_distance, shirt_distance
from xfer.faceworld.fields import Field, Points, smooth_min
from xfer.faceworld.hair import hair_distance
from xfer.faceworld.head import base_distance, eye_distance, relief_distance, skin_distance
from xfer.faceworld.measures import Head, Pose, Rig


class Part(IntEnum):
    """What a pixel shows."""

    BACKGROUND = 0
    FACE = 1
    EYES = 2
    HAIR = 3
    GLASSES = 4
    CLOTHES = 5
    NECK = 6


PIVOT_Y, PIVOT_Z = -0.55, -0.15
"""The head turns about this point in the neck."""


def to_world(pose: Pose, p: Points) -> Points:
    """Head to world coordinates."""
    y, z = p.y - PIVOT_Y, p.z - PIVOT_Z
    return Points(
        pose.xx * p.x + pose.xy * y + pose.xz * z,
        pose.yx * p.x + pose.yy * y + pose.yz * z + PIVOT_Y,
        pose.zx * p.x + pose.zy * y + pose.zz * z + PIVOT_Z,
    )


def to_head(pose: Pose, p: Points) -> Points:
    """World to head coordinates."""
    y, z = p.y - PIVOT_Y, p.z - PIVOT_Z
    return Points(
        pose.xx * p.x + pose.yx * y + pose.zx * z,
        pose.xy * p.x + pose.yy * y + pose.zy * z + PIVOT_Y,
        pose.xz * p.x + pose.yz * y + pose.zz * z + PIVOT_Z,
    )


def _asymmetry(head: Head, p: Points) -> tuple[Field, Field]:
    """Shift in x and y of this person's face against a symmetric one."""
    from_nose = (p.y + 0.35) * 1.5
    bend = (1 - from_nose * from_nose).clamp(min=0) * (2 * p.z).clamp(0, 1)
    return head.lean * bend, head.tilt * p.x.clamp(-0.5, 0.5)


def straighten(head: Head, p: Points) -> Points:
    """From this person's head to the symmetric one that the fields describe."""
    dx, dy = _asymmetry(head, p)
    return Points(p.x - dx, p.y - dy, p.z)


def bend(head: Head, p: Points) -> Points:
    """Inverse of `straighten`, to first order in shifts of a few hundredths."""
    dx, dy = _asymmetry(head, p)
    return Points(p.x + dx, p.y + dy, p.z)


def part_distances(rig: Rig, world: Points) -> tuple[Field, Field, Field, Field, Field, Field]:
    """Distances to skin, eyes, hair, glasses, clothes and bare neck (part of the skin too)."""
    p = straighten(rig.head, to_head(rig.pose, world))
    base = base_distance(rig.head, p)
    neck = neck_distance(rig, world)
    return (
        smooth_min(skin_distance(rig, p, base), neck, 0.10),
        eye_distance(rig.eyes, p),
        hair_distance(rig, p, base),
        glasses_distance(rig, p),
        shirt_distance(world),
        neck,
    )


def scene_distance(rig: Rig, world: Points) -> Field:
    """Distance to the nearest surface of the scene."""
    skin, eyes, hair, glasses, shirt, _ = part_distances(rig, world)
    nearest = torch.minimum(torch.minimum(skin, eyes), torch.minimum(hair, glasses))
    return torch.minimum(nearest, shirt)


def blocker_distance(rig: Rig, world: Points) -> Field:
    """Distance to what throws soft shadows: the scene without eyes, lips, ears and glasses."""
    p = straighten(rig.head, to_head(rig.pose, world))
    base = base_distance(rig.head, p)
    head = torch.minimum(relief_distance(rig, p, base), hair_distance(rig, p, base))
    body = torch.minimum(neck_distance(rig, world), shirt_distance(world))
    return torch.minimum(head, body)


def part_at(rig: Rig, world: Points) -> Int[Tensor, "..."]:
    """Which `Part` lies nearest, as a number."""
    *parts, neck = part_distances(rig, world)
    nearest = torch.stack(parts).argmin(0) + 1
    skin_is_neck = (nearest == int(Part.FACE)) & (neck < parts[0] + 0.02)
    return torch.where(skin_is_neck, int(Part.NECK), nearest)
