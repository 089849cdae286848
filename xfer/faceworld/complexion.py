"""What is painted on the skin, in head coordinates, so that it follows the motion.

Every painter takes the colour so far (3, batch, n; linear RGB) and returns it with its own added.
"""

import torch
from torch import Tensor

from xfer.faceworld.fields import Field, Points, bell, bump, length, mix, ramp, wave
from xfer.faceworld.hair import above_hairline
from xfer.faceworld.head import (
    beard_area,
    brow_half_width,
    brow_line,
    lid_edges,
    lip_edges,
    lip_outline,
    mouth_floor,
    mouth_surround,
    smile_line,
)
from xfer.faceworld.look import Look, rgb, tint
from xfer.faceworld.measures import Rig


def paint_skin(rig: Rig, look: Look, p: Points) -> tuple[Tensor, Field, Field]:
    """Colour of the skin, how much lip it is and how much hair (both 0 to 1)."""
    front = (p.z > 0.15).float()
    color = look.skin * (1 + 0.025 * _mottle(p))
    color = _blush(color, rig, p)
    color = _age_lines(color, rig, p, front)
    color = _nostrils(color, rig, p)
    color = _freckles(color, rig, p, front)
    color, hairy = _beard(color, rig, look, p)
    color, lips = _lips(color, rig, look, p, front)
    color, scalp = _hair_roots(color, rig, look, p)
    color, brows = _brows(color, rig, look, p, front)
    color = _eye_lines(color, rig, p, front)
    color, inside = _mouth_inside(color, rig, p, front)
    return color, lips * (1 - inside), torch.maximum(torch.maximum(hairy, scalp), brows)


def _mottle(p: Points) -> Field:
    return wave(p.x * 13 + 2 * wave(p.y * 9)) * wave(p.y * 17 + 2 * wave(p.x * 11 + p.z * 7))


def _darken(color: Tensor, factors: Tensor, amount: Field) -> Tensor:
    return mix(color, color * factors, amount)


def _blush(color: Tensor, rig: Rig, p: Points) -> Tensor:
    """Redder cheeks, nose and ears; darker sockets."""
    across, head = p.x.abs(), rig.head
    cheek = bump(((across - head.cheek_x).square() + (p.y - head.cheek_y).square()) * 30)
    nose = bump(p.x.square() * 60 + (p.y - rig.nose.base_y).square() * 60)
    ear = ramp(0.60, 0.72, across) * (p.z < 0.1)
    red = (0.45 * cheek + 0.5 * nose + 0.4 * ear).clamp(0, 0.8)
    color = _darken(color, tint(1.0, 0.72, 0.70, color), red)
    x, y = across - rig.eyes.x, p.y - rig.eyes.y + 0.02
    socket = bump(x * x * 28 + y * y * 60) * (p.z > 0.15)
    return _darken(color, tint(0.80, 0.68, 0.66, color), 0.55 * socket)


def _age_lines(color: Tensor, rig: Rig, p: Points, front: Field) -> Tensor:
    """Lines of the forehead (raised brows, age), folds beside the nose, bags under the eyes."""
    age, across = rig.extras.age, p.x.abs()
    lines = sum(bell((p.y - y + 0.06 * p.x.square()) * 100) for y in (0.34, 0.41, 0.48))
    strength = 0.35 * rig.brows.raised + 0.45 * (age - 0.35).clamp(min=0)
    lines = (lines * ramp(0.42, 0.25, across) * front * strength).clamp(0, 0.9)
    color = _darken(color, tint(0.72, 0.60, 0.57, color), lines)
    beside = across - smile_line(rig, p.y)
    half_way = (p.y - (rig.mouth.y + rig.nose.base_y) * 0.5) * 6.5
    fold = bump(beside * beside * 2600) * bump(half_way * half_way) * front
    fold = fold * (0.30 * rig.mouth.smile + 0.5 * (age - 0.3).clamp(min=0))
    color = _darken(color, tint(0.66, 0.52, 0.50, color), fold.clamp(0, 0.9))
    u, _, lower = lid_edges(rig.eyes, p)
    bag = bell((p.y - lower + 0.055) * 83) * ramp(1.0, 0.5, u.abs()) * front
    return _darken(color, tint(0.70, 0.58, 0.58, color), 0.7 * bag * (age - 0.3).clamp(min=0))


def _nostrils(color: Tensor, rig: Rig, p: Points) -> Tensor:
    nose = rig.nose
    y, z = p.y - nose.base_y + 0.074, p.z - nose.wing_z - 0.055
    near = length(p.x.abs() - nose.wing_x * 0.60, y * 1.5, z * 0.7)
    return _darken(color, tint(0.28, 0.16, 0.15, color), ramp(0.050, 0.022, near))


def _freckles(color: Tensor, rig: Rig, p: Points, front: Field) -> Tensor:
    """Two jittered grids of dots on cheeks and nose."""
    dots = torch.zeros_like(p.x)
    for scale, shift in ((19.0, 0.0), (23.0, 0.37)):
        x, y = p.x * scale + shift * 7, p.y * scale + shift * 3
        column, row = torch.floor(x), torch.floor(y)
        a = _fraction(column * 0.7548776 + row * 0.5698402 + shift)
        b = _fraction(column * 0.3247179 + row * 0.8191725 + shift)
        c = _fraction(a * 7.31 + b * 3.17)
        distance = length(x - column - 0.3 - 0.4 * a, y - row - 0.3 - 0.4 * b, 0 * x)
        dot = ramp(0.10 + 0.18 * c, 0.02 + 0.10 * c, distance) * (c > 0.3)
        dots = torch.maximum(dots, dot)
    area = bump((p.x.abs() - 0.22).square() * 14 + (p.y + 0.2).square() * 18)
    dots = dots * area * rig.extras.freckles * front
    return _darken(color, tint(0.72, 0.52, 0.42, color), dots)


def _fraction(x: Tensor) -> Tensor:
    return x - torch.floor(x)


def _beard(color: Tensor, rig: Rig, look: Look, p: Points) -> tuple[Tensor, Field]:
    """Beard and moustache."""
    _, room, upper, _, _ = lip_edges(rig.mouth, p.x)
    lip_top = upper + 1.12 * rig.mouth.upper_lip * room.sqrt()
    moustache = (p.y - lip_top - 0.042) * 28
    moustache = bump(moustache.square().square()) * ramp(0.24, 0.17, p.x.abs()) * (p.z > 0.15)
    grown = beard_area(rig, p) * (1 - 0.9 * mouth_surround(rig, p))
    strands = 0.85 + 0.15 * wave(p.x * 83 + 4 * wave(p.y * 31)) * wave(
        p.y * 57 + 4 * wave(p.x * 43)
    )
    covered = torch.maximum(grown, moustache) * rig.extras.beard * strands
    covered = (covered * ramp(-1.12, -0.98, p.y)).clamp(0, 1)
    return mix(color, look.beard, covered), covered


def _lips(color: Tensor, rig: Rig, look: Look, p: Points, front: Field) -> tuple[Tensor, Field]:
    mouth = rig.mouth
    u, *_, middle = lip_edges(mouth, p.x)
    top, bottom = lip_outline(mouth, p.x)
    inside = ramp(0.012, -0.012, p.y - top) * ramp(-0.012, 0.012, p.y - bottom)
    lips = inside * (u.abs() < 1) * front
    color = mix(color, look.lips, 0.9 * lips)
    closed = 1 - ((mouth.open_up + mouth.open_down) * 20).clamp(0, 1)
    line = bell((p.y - middle) * 77) * ramp(1.06, 0.92, u.abs()) * front * closed
    return _darken(color, tint(0.30, 0.17, 0.17, color), 0.85 * line), lips


def _hair_roots(color: Tensor, rig: Rig, look: Look, p: Points) -> tuple[Tensor, Field]:
    """Hair that begins as strands on the scalp, so that the hairline is no hard edge."""
    strands = 0.5 + 0.3 * wave(p.x * 61 + 3 * wave(p.y * 13)) + 0.2 * wave(p.x * 131 + p.z * 40)
    above = above_hairline(rig.hair, p) + 0.05 * (strands - 0.5)
    scalp = ramp(-0.03, 0.05, above) * rig.hair.painted
    return mix(color, look.hair * 0.8, scalp), scalp


def _brows(color: Tensor, rig: Rig, look: Look, p: Points, front: Field) -> tuple[Tensor, Field]:
    along, middle = brow_line(rig, p.x)
    strands = wave(p.x.abs() * 150 + p.y * 60)
    half = brow_half_width(rig.brows, along)
    off = (p.y - middle).abs() + 0.004 * strands
    covered = ramp(half + 0.014, half - 0.012, off) * (along.abs() < 1.06) * front
    covered = covered * (0.88 + 0.08 * strands)
    return mix(color, look.brow, covered.clamp(0, 1)), covered


def _eye_lines(color: Tensor, rig: Rig, p: Points, front: Field) -> Tensor:
    """Crease of the upper lid and both rows of lashes."""
    u, upper, lower = lid_edges(rig.eyes, p)
    away = u.abs()
    crease = bell((p.y - upper - 0.035 - 0.012 * (1 - u * u)) * 83)
    crease = crease * ramp(1.15, 0.8, away) * front
    color = _darken(color, tint(0.55, 0.42, 0.40, color), 0.6 * crease)
    lashes = ramp(0.020, 0.006, (p.y - upper - 0.004).abs()) * ramp(1.12, 0.98, away) * front
    color = mix(color, rgb(0.07, 0.05, 0.05, color), 0.88 * lashes)
    lashes = ramp(0.012, 0.003, (p.y - lower + 0.004).abs()) * ramp(1.05, 0.8, away) * front
    return mix(color, color * 0.42, 0.8 * lashes)


def _mouth_inside(color: Tensor, rig: Rig, p: Points, front: Field) -> tuple[Tensor, Field]:
    """Teeth, tongue and dark, painted on the floor of the mouth's opening."""
    mouth = rig.mouth
    u, _, upper, lower, _ = lip_edges(mouth, p.x)
    within = (p.y < upper + 0.004) & (p.y > lower - 0.004) & (u.abs() < 1)
    depth = mouth_floor(mouth, p.x) + 0.035 - p.z
    inside = within * ramp(0.0, 0.03, depth) * front
    gaps = 1 - 0.35 * bell(wave(p.x * 42) * 6) * (p.x.abs() < 0.16)
    shade = (1 - 6 * p.x * p.x).clamp(min=0.35)
    teeth = rgb(0.93, 0.90, 0.84, color) * (gaps * shade)
    gum_y = mouth.y + 0.5 * mouth.lift
    upper_teeth = ramp(-0.058, -0.048, p.y - gum_y)
    lower_teeth = ramp(0.040, 0.030, p.y - lower) * (mouth.open_down > 0.05)
    tongue_y = (p.y - lower - 0.055) * 14
    tongue = bump(p.x * p.x * 60 + tongue_y * tongue_y) * 0.8
    filled = mix(rgb(0.16, 0.05, 0.05, color), rgb(0.62, 0.26, 0.26, color), tongue)
    filled = mix(filled, teeth * 0.75, lower_teeth)
    filled = mix(filled, teeth, upper_teeth)
    filled = filled * (0.45 + 0.55 * ramp(0.0, 0.05, upper - p.y))
    return mix(color, filled, inside), inside
