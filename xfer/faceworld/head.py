"""The head as a signed distance field: base surface, skin with its features, eyes."""

import torch
from torch import Tensor

from xfer.faceworld.fields import (
    Field,
    Points,
    bell,
    bump,
    ellipsoid,
    length,
    mix,
    ramp,
    smooth_max,
    smooth_min,
)
from xfer.faceworld.measures import Brows, Eyes, Head, Mouth, Nose, Rig

SKULL_Z, FACE_Z = -0.14, 0.04


def base_distance(head: Head, p: Points) -> Field:
    """Skull, face, jaw and chin melted together, without any feature."""
    across = p.x.abs()
    skull = ellipsoid(
        p.x, p.y - head.skull_y, p.z - SKULL_Z,
        head.skull_inverse_x, head.skull_inverse_y, head.skull_inverse_z,
    )  # fmt: skip
    face = ellipsoid(
        p.x, p.y - head.face_y, p.z - FACE_Z,
        head.face_inverse_x, head.face_inverse_y, head.face_inverse_z,
    )  # fmt: skip
    jaw = ellipsoid(
        p.x, p.y - head.jaw_y, p.z - head.jaw_z,
        head.jaw_inverse_x, head.jaw_inverse_y, head.jaw_inverse_z,
    )  # fmt: skip
    corner = length(across - head.corner_x, p.y - head.corner_y, p.z - head.corner_z)
    chin_x = (across - head.chin_half_width).clamp(min=0)
    chin = length(chin_x, p.y - head.chin_y, p.z - head.chin_z) - head.chin_radius
    d = smooth_min(smooth_min(skull, face, 0.16), jaw, 0.16)
    return smooth_min(smooth_min(d, corner - head.corner_radius, 0.20), chin, 0.26)


def lid_edges(eyes: Eyes, p: Points) -> tuple[Field, Field, Field]:
    """Along the eye's opening u (-1 inner, 1 outer corner); heights of upper and lower lid."""
    u = (p.x.abs() - eyes.x) / eyes.half_width
    room = (1 - u * u).clamp(min=0)
    blink = torch.where(p.x > 0, eyes.blink_left, eyes.blink_right)
    middle = eyes.y + eyes.slant * u
    lower = middle - eyes.lower * room * (1 + 0.2 * u)
    root = room.sqrt()
    upper = middle + eyes.upper * root * root.sqrt() * (1 - 0.18 * u)
    return u, upper + (lower - 0.012 - upper) * blink, lower


def lip_edges(mouth: Mouth, x: Field) -> tuple[Field, Field, Field, Field, Field]:
    """The mouth at x: u (-1 to 1 between the corners), 1 - u^2, upper, lower and middle y."""
    u = x * mouth.inverse_half_width
    room = (1 - u * u).clamp(min=0)
    middle = mouth.y + mouth.lift * (u * u - 0.25) + mouth.crooked * u
    root = room.sqrt()
    upper = middle + mouth.open_up * room
    lower = middle - mouth.open_down * root * root.sqrt()
    return u, room, upper, lower, middle


def lip_outline(mouth: Mouth, x: Field) -> tuple[Field, Field]:
    """Upper and lower y of the red of the lips at x; both end in the corners."""
    _, room, upper, lower, _ = lip_edges(mouth, x)
    taper = room.sqrt()
    cupid = 1 - 0.22 * bump(x * x * 800) + 0.10 * bump((x.abs() - 0.05).square() * 1200)
    top = upper + 1.12 * mouth.upper_lip * taper * taper.sqrt() * cupid
    return top, lower - 1.10 * mouth.lower_lip * taper


def brow_height(brows: Brows, x: Field) -> Field:
    """Height of the brow on this side of the face."""
    return torch.where(x > 0, brows.y_left, brows.y_right)


def brow_line(rig: Rig, x: Field) -> tuple[Field, Field]:
    """Position along the eyebrow (-1 inner, 1 outer end) and height of its middle."""
    brows = rig.brows
    along = (x.abs() - (rig.eyes.x + 0.01 - 0.025 * brows.frown)) / brows.half_length
    arch = brows.arch * (0.55 - 0.9 * (along - 0.25).square())
    pinch = 0.060 * brows.frown * (0.5 - 0.8 * along).clamp(0, 1.2)
    middle = brow_height(brows, x) + arch - 0.01 + brows.slant * along - pinch
    return along, middle + 0.015 * brows.raised * (0.5 - along)


def brow_half_width(brows: Brows, along: Field) -> Field:
    """From the middle of the eyebrow to its edge; it is thin at its ends."""
    return brows.thickness * (0.95 - 0.38 * along) * ramp(1.06, 0.6, along.abs())


def beard_area(rig: Rig, p: Points) -> Field:
    """Where a beard grows, 0 to 1: below a line from ear to mouth; on the chin for a goatee."""
    across = p.x.abs()
    goatee = rig.extras.goatee
    below = ramp(-0.28, -0.46, p.y - 1.2 * across * across + 0.12 * goatee)
    chin_only = mix(1.0, ramp(0.30, 0.20, across), goatee)
    return below * chin_only * ramp(-0.25, -0.05, p.z)


def mouth_surround(rig: Rig, p: Points) -> Field:
    """The lips and the skin close to them, where no beard grows, 0 to 1."""
    x, y = p.x * 4.2, (p.y - rig.mouth.y + 0.5 * rig.mouth.open_down) * 8.0
    x, y = x * x, y * y
    return bump(x * x + y * y)


def _broad_folds(rig: Rig, p: Points) -> Field:
    """Height of cheeks, sockets and the ridge of the brows."""
    head, eyes, across = rig.head, rig.eyes, p.x.abs()
    cheek = bump(((across - head.cheek_x).square() + (p.y - head.cheek_y).square()) * 24)
    eye_x, eye_y = across - eyes.x + 0.02, p.y - eyes.y - 0.01
    socket = bump(eye_x * eye_x * 22 + eye_y * eye_y * 62)
    brow_y = p.y - brow_height(rig.brows, p.x) + 0.035
    ridge = bump((across - 0.24).square() * 14 + brow_y * brow_y * 170)
    return head.cheek_amount * cheek - eyes.socket * socket + rig.brows.ridge * ridge


def relief_distance(rig: Rig, p: Points, base: Field) -> Field:
    """The skin without its small features: enough for soft shadows."""
    return _with_nose(rig.nose, base - _broad_folds(rig, p) * (p.z * 5).clamp(0, 1), p)


def _folds(rig: Rig, p: Points) -> Field:
    """Height of all soft features above the base surface."""
    mouth = rig.mouth
    across = p.x.abs()
    height = _broad_folds(rig, p)

    _, room, upper, lower, _ = lip_edges(mouth, p.x)
    taper = room.sqrt()
    cupid = 1 - 0.30 * bump(p.x * p.x * 900)
    upper_lip = bell((p.y - upper - 0.45 * mouth.upper_lip * taper) / (0.75 * mouth.upper_lip))
    lower_lip = bell((p.y - lower + 0.45 * mouth.lower_lip * taper) / (0.72 * mouth.lower_lip))
    height = height + mouth.protrusion * taper * (upper_lip * cupid + 1.05 * lower_lip)

    muzzle = bump(p.x * p.x * 11 + (p.y - mouth.y - 0.03).square() * 22)
    chin_fold = bell((p.y - lower + mouth.lower_lip + 0.035) * 16) * bump(p.x * p.x * 18)
    beside = across - smile_line(rig, p.y)
    half_way = (p.y - (mouth.y + rig.nose.base_y) * 0.5) * 6.5
    nasolabial = bump(beside * beside * 700) * bump(half_way * half_way)
    height = height + 0.045 * muzzle - 0.018 * chin_fold
    height = height - (0.006 + 0.026 * mouth.smile) * nasolabial
    beard = rig.extras.beard_volume * beard_area(rig, p) * (1 - mouth_surround(rig, p))
    return height * (p.z * 5).clamp(0, 1) + 0.03 * beard


def smile_line(rig: Rig, y: Field) -> Field:
    """Distance from the middle of the fold from the nose's wing to the corner of the mouth."""
    return 0.15 + (rig.nose.base_y - y) * 0.42 + 0.05 * rig.mouth.smile


def _with_nose(nose: Nose, d: Field, p: Points) -> Field:
    """A tapered bridge with a round tip, wings and nostrils."""
    y, z = p.y - nose.root_y, p.z - nose.root_z
    dy, dz = nose.tip_y - nose.root_y, nose.tip_z - nose.root_z
    along = ((y * dy + z * dz) * nose.inverse_length_squared).clamp(0, 1)
    hump = nose.hump * (along * (1 - along) * 4)
    bridge = length(p.x, y - dy * along, z - dz * along - hump)
    d = smooth_min(d, bridge - mix(nose.root_radius, nose.tip_radius, along * along), 0.09)
    across, wing_y, wing_z = p.x.abs(), p.y - nose.base_y + 0.022, p.z - nose.wing_z
    wing = length(across - nose.wing_x, wing_y * 1.15, wing_z * 0.85)
    d = smooth_min(d, wing - nose.wing_radius, 0.055)
    nostril = length(across - nose.wing_x * 0.60, (wing_y + 0.050) * 1.3, (wing_z - 0.055) * 0.8)
    return smooth_max(d, 0.027 - nostril, 0.03)


def closed_skin_distance(rig: Rig, p: Points, base: Field) -> Field:
    """The skin with closed eyes and mouth, without ears: what landmarks lie on."""
    d = _with_nose(rig.nose, base - _folds(rig, p), p)
    eyes = rig.eyes
    lid = length(p.x.abs() - eyes.x, p.y - eyes.y, p.z - eyes.z) - eyes.radius
    return smooth_min(d, lid - LID_THICKNESS, 0.05)


LID_THICKNESS = 0.024


def mouth_floor(mouth: Mouth, x: Field) -> Field:
    """Depth of the row of teeth, onto which teeth, tongue and dark are painted."""
    return mouth.z - 0.055 - 0.9 * x * x


def skin_distance(rig: Rig, p: Points, base: Field) -> Field:
    """The whole skin: openings for eyes and mouth cut in, ears added."""
    d = closed_skin_distance(rig, p, base)
    u, upper, lower = lid_edges(rig.eyes, p)
    opening = torch.maximum(p.y - upper, lower - p.y) * 0.85
    opening = torch.maximum(opening, torch.maximum(rig.eyes.z - p.z, (u.abs() - 1) * 0.15))
    d = smooth_max(d, -opening, 0.016)
    u, _, upper, lower, _ = lip_edges(rig.mouth, p.x)
    opening = torch.maximum(p.y - upper, lower - p.y) * 0.9
    opening = torch.maximum(opening, mouth_floor(rig.mouth, p.x) - p.z)
    d = smooth_max(d, -torch.maximum(opening, (u.abs() - 1) * 0.2), 0.022)
    return smooth_min(d, _ear_distance(rig, p), 0.035)


def _ear_distance(rig: Rig, p: Points) -> Field:
    ears = rig.ears
    y = p.y - rig.eyes.y + 0.09
    z = p.z + 0.13 + 0.25 * y
    x = p.x.abs() - ears.x + ears.out * z * 0.8
    shell = ellipsoid(x, y, z, 22.0, ears.inverse_height, ears.inverse_depth)
    hollow = ellipsoid(
        x - 0.055, y - 0.01, z - 0.02, 22.0, 1.4 * ears.inverse_height, 1.55 * ears.inverse_depth
    )
    return smooth_max(shell, -hollow, 0.03)


def eye_distance(eyes: Eyes, p: Points) -> Tensor:
    """The two eyeballs."""
    return length(p.x.abs() - eyes.x, p.y - eyes.y, p.z - eyes.z) - eyes.radius
