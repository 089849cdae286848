"""The measures of one person in one pose: what the field and the paint of a face read.

Head coordinates: x to the picture's right, y up, z towards the camera; the eyes lie near y = 0,
the crown near y = 1, the chin near y = -0.93. Every measure is a tensor (batch, 1) that broadcasts
against points (batch, n). Radii of ellipsoids are stored as reciprocals ("inverse").
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Measure = Float[Tensor, "batch 1"]


class Head(NamedTuple):
    """Skull, face, jaw and chin: the base surface, before any feature."""

    width: Measure
    length: Measure
    skull_inverse_x: Measure
    skull_inverse_y: Measure
    skull_inverse_z: Measure
    skull_y: Measure
    face_inverse_x: Measure
    face_inverse_y: Measure
    face_inverse_z: Measure
    face_y: Measure
    jaw_inverse_x: Measure
    jaw_inverse_y: Measure
    jaw_inverse_z: Measure
    jaw_y: Measure
    jaw_z: Measure
    corner_x: Measure
    corner_y: Measure
    corner_z: Measure
    corner_radius: Measure
    chin_half_width: Measure
    chin_y: Measure
    chin_z: Measure
    chin_radius: Measure
    cheek_x: Measure
    cheek_y: Measure
    cheek_amount: Measure
    lean: Measure
    """Sideways shift of the middle of the face."""
    tilt: Measure
    """Rise of the face per unit to the picture's right."""


class Eyes(NamedTuple):
    x: Measure
    y: Measure
    z: Measure
    radius: Measure
    half_width: Measure
    """Half the length of the opening between the lids."""
    upper: Measure
    """Height of the upper lid's edge above the middle when open."""
    lower: Measure
    slant: Measure
    socket: Measure
    """Depth of the socket."""
    blink_left: Measure
    blink_right: Measure
    gaze_x: Measure
    gaze_y: Measure
    gaze_z: Measure


class Brows(NamedTuple):
    y_left: Measure
    """Height of the brow on the person's left (picture's right), as raised or lowered."""
    y_right: Measure
    ridge: Measure
    thickness: Measure
    slant: Measure
    arch: Measure
    half_length: Measure
    frown: Measure
    raised: Measure


class Nose(NamedTuple):
    root_y: Measure
    root_z: Measure
    tip_y: Measure
    tip_z: Measure
    inverse_length_squared: Measure
    root_radius: Measure
    tip_radius: Measure
    hump: Measure
    base_y: Measure
    wing_x: Measure
    wing_z: Measure
    wing_radius: Measure


class Mouth(NamedTuple):
    y: Measure
    z: Measure
    """Depth of the base surface behind the lips."""
    inverse_half_width: Measure
    lift: Measure
    """Rise of the corners against the middle of the closed mouth."""
    crooked: Measure
    open_up: Measure
    open_down: Measure
    upper_lip: Measure
    lower_lip: Measure
    protrusion: Measure
    smile: Measure
    """0 to 1: deepens the folds beside the nose."""


class Ears(NamedTuple):
    x: Measure
    inverse_height: Measure
    inverse_depth: Measure
    out: Measure


class Hair(NamedTuple):
    thickness: Measure
    top: Measure
    """Extra thickness on top."""
    front_y: Measure
    nape_y: Measure
    part: Measure
    """Slope of the hairline towards the parting."""
    taper: Measure
    """Height over which the hair grows from nothing to its thickness."""
    curl: Measure
    groove: Measure
    long: Measure
    """1 where hair hangs below the ears."""
    hang_y: Measure
    hang_inverse_x: Measure
    hang_inverse_y: Measure
    hang_bottom: Measure
    opening: Measure
    """Half the width that hanging hair leaves free for the face."""
    bun: Measure
    crest: Measure
    """1 for a mohawk."""
    receding: Measure
    painted: Measure
    """Stubble of hair on the scalp where there is no volume."""


class Extras(NamedTuple):
    """Beard, glasses and neck."""

    beard: Measure
    beard_volume: Measure
    goatee: Measure
    glasses: Measure
    """1 with glasses."""
    lens_x: Measure
    lens_width: Measure
    lens_height: Measure
    lens_round: Measure
    lens_z: Measure
    neck: Measure
    age: Measure
    freckles: Measure


class Pose(NamedTuple):
    """Rotation from head to world coordinates, row by row, about the pivot in the neck."""

    xx: Measure
    xy: Measure
    xz: Measure
    yx: Measure
    yy: Measure
    yz: Measure
    zx: Measure
    zy: Measure
    zz: Measure


class Rig(NamedTuple):
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    ears: Ears
    hair: Hair
    extras: Extras
    pose: Pose


PARTS = (Head, Eyes, Brows, Nose, Mouth, Ears, Hair, Extras, Pose)
MEASURES = sum(len(part._fields) for part in PARTS)


def pack(rig: Rig) -> Float[Tensor, "measures batch 1"]:
    """All measures in one tensor: a compiled kernel checks one argument instead of a hundred."""
    return torch.stack([measure for part in rig for measure in part])


def unpack(packed: Float[Tensor, "measures batch 1"]) -> Rig:
    measures = iter(packed.unbind(0))
    return Rig(*(part(*(next(measures) for _ in part._fields)) for part in PARTS))
