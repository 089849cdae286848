"""Hair as a signed distance field: a shell grown out of the scalp, hanging hair, bun, crest."""

import torch

from xfer.faceworld.fields import (
    Field,
    Points,
    ellipsoid,
    length,
    mix,
    smooth_max,
    smooth_min,
    wave,
)
from xfer.faceworld.measures import Hair, Rig

FAR = 9.0
"""Added to the distance of what a person does not have."""


def above_hairline(hair: Hair, p: Points) -> Field:
    """How far a point of the scalp lies inside the hair's area, negative outside."""
    t = ((p.z + 0.12) * 1.39).clamp(0, 1)
    t = t * t * (3 - 2 * t)
    side = torch.where(hair.part < 0, -0.18, 0.18)
    front = hair.front_y + hair.part * (p.x + side) * 1.2 - 0.5 * p.x * p.x
    above = p.y - mix(hair.nape_y, front, t)
    ring = (p.x * p.x + (0.6 * p.z - 0.072).square() + 1e-9).sqrt() - 0.50
    return torch.minimum(above, mix(FAR, ring, hair.receding))


def curls(hair: Hair, p: Points) -> Field:
    """Relief of curls and strands."""
    curl = wave(p.x * 17 + p.y * 5) * wave(p.y * 15 + p.z * 4) * wave(p.z * 16 + p.x * 5)
    return hair.curl * curl + hair.groove * wave(p.x * 37 + 9 * p.z + 2 * wave(p.x * 11 + p.y * 4))


def hair_distance(rig: Rig, p: Points, base: Field) -> Field:
    """All hair of a head; `base` is the distance to the bare head."""
    hair, relief = rig.hair, curls(rig.hair, p)
    top = hair.top * ((p.y - 0.35) * 1.6).clamp(0, 1) * ((p.z + 0.9) * 0.9).clamp(0, 1)
    shell = base - hair.thickness - top - relief
    # A wide blend with the hairline's cut makes the shell grow out of the skin without a lip.
    cut = -0.75 * above_hairline(hair, p) - 0.5 * relief
    d = smooth_max(shell, cut, hair.taper)
    crest = torch.maximum(
        p.x.abs() - 0.13 + 0.35 * base, (0.30 + 0.35 * p.z.clamp(min=0) - p.y) * 0.8
    )
    crest = smooth_max(base - 0.20 - 0.02 * wave(p.z * 24), crest, 0.05)
    d = torch.minimum(d, crest + (1 - hair.crest) * FAR)
    bun = length(p.x, p.y - rig.head.skull_y - 0.80, p.z + 0.42) - hair.bun
    d = smooth_min(d, bun - relief, 0.05)
    return smooth_min(d, _hanging(hair, p, base, relief), 0.06)


def _hanging(hair: Hair, p: Points, base: Field, relief: Field) -> Field:
    """Hair that falls around the head, open in front."""
    hull = ellipsoid(
        p.x, p.y - hair.hang_y, p.z + 0.16, hair.hang_inverse_x, hair.hang_inverse_y, 1.43
    )
    side = hair.opening + 0.04 * wave(p.y * 3.0 + 1)
    behind = torch.maximum(-(p.z + 0.18), p.x.abs() - side)
    d = smooth_max(hull - relief, -behind, 0.08)
    d = smooth_max(d, torch.maximum(p.z - 0.30, hair.hang_bottom - p.y), 0.10)
    return smooth_max(d, 0.02 - base, 0.05) + (1 - hair.long) * FAR
