"""From factors to measures: the rig of each person in each pose, computed once per picture."""

import math

import torch

from xfer.faceworld.factors import Group
from xfer.faceworld.fields import Points
from xfer.faceworld.head import base_distance
from xfer.faceworld.measures import (
    Brows,
    Ears,
    Extras,
    Eyes,
    Hair,
    Head,
    Measure,
    Mouth,
    Nose,
    Pose,
    Rig,
)
from xfer.faceworld.styles import BEARDS, HAIR

PITCH_AT_REST_DEG = 6.5
"""Added to the pitch: without it landmark detectors see everybody looking down."""
EYE_Y, JAW_Y = 0.02, -0.50
"""Heights of the eyes and of the closed jaw in an average face."""


def build_rig(identity: Group, motion: Group) -> Rig:
    """Measures of each person (rows of `identity`) doing what the row of `motion` says."""
    who = {name: identity[name][:, None] for name in identity.names}
    does = {name: motion[name][:, None] for name in motion.names}
    head = _head(who, does)
    features = _feature_heights(who, head)
    eye_depth, root_depth, base_depth, mouth_depth = _depths(head, features)
    eyes = _eyes(who, does, features, eye_depth)
    return Rig(
        head=head,
        eyes=eyes,
        brows=_brows(who, does, eyes),
        nose=_nose(who, does, features, root_depth, base_depth),
        mouth=_mouth(who, does, head, features, mouth_depth),
        ears=_ears(who, head),
        hair=_hair(who, head),
        extras=_extras(who, eyes),
        pose=_pose(does),
    )


def _head(who: dict, does: dict) -> Head:
    width = 1 + 0.09 * who["head_width"] + 0.03 * who["weight"]
    long = 1 + 0.115 * who["head_length"]
    same = torch.ones_like(width)
    jaw_width = (1 + 0.12 * who["jaw_width"] + 0.05 * who["weight"]) * width
    face_width = width * (1 + 0.05 * who["cheek_fat"] + 0.04 * who["weight"])
    smile = does["smile"].clamp(min=0)
    jaw_y, jaw_z = _turn_jaw(does["jaw"], JAW_Y * long, 0.165 * same)
    corner_y, corner_z = _turn_jaw(does["jaw"], JAW_Y * long, -0.02 * same)
    chin_y = -0.765 * long - 0.05 * who["chin_length"]
    chin_y, chin_z = _turn_jaw(does["jaw"], chin_y, 0.415 + 0.04 * who["chin_forward"])
    return Head(
        width=width,
        length=long,
        skull_inverse_x=1 / (0.655 * width),
        skull_inverse_y=1 / (0.75 + 0.06 * who["forehead"]),
        skull_inverse_z=1 / (0.785 * (1 + 0.06 * who["head_depth"])),
        skull_y=0.22 + 0.03 * who["forehead"],
        face_inverse_x=1 / (0.565 * face_width),
        face_inverse_y=1 / (0.66 * long),
        face_inverse_z=1 / (0.62 + 0.02 * who["head_depth"]),
        face_y=-0.14 * long,
        jaw_inverse_x=1 / (0.435 * jaw_width),
        jaw_inverse_y=1 / (0.34 * long),
        jaw_inverse_z=same / 0.40,
        jaw_y=jaw_y,
        jaw_z=jaw_z,
        corner_x=0.31 * jaw_width,
        corner_y=corner_y,
        corner_z=corner_z,
        corner_radius=0.165 + 0.04 * who["jaw_corner"],
        chin_half_width=0.085 + 0.045 * who["chin_width"],
        chin_y=chin_y,
        chin_z=chin_z,
        chin_radius=0.135 + 0.015 * who["chin_width"],
        cheek_x=0.35 * width,
        cheek_y=-0.19 * long + 0.05 * smile,
        cheek_amount=0.035 + 0.025 * who["cheekbone"] + 0.03 * smile + 0.012 * who["cheek_fat"],
        lean=0.02 * who["nose_lean"],
        tilt=0.02 * who["face_tilt"],
    )


HINGE_Y, HINGE_Z = -0.20, -0.05
"""The jaw turns about this line through the ears."""


def _turn_jaw(jaw: Measure, y: Measure, z: Measure) -> tuple[Measure, Measure]:
    """Where a point of the jaw goes when it opens (0.3 rad at 1)."""
    cos, sin = (0.30 * jaw).cos(), (0.30 * jaw).sin()
    y, z = y - HINGE_Y, z - HINGE_Z
    return HINGE_Y + y * cos - z * sin, HINGE_Z + z * cos + y * sin


def _feature_heights(who: dict, head: Head) -> dict[str, Measure]:
    spacing = (1 + 0.14 * who["eye_spacing"]) * (0.5 + 0.5 * head.width)
    return {
        "eye_x": 0.272 * spacing,
        "eye_y": EYE_Y + 0.03 * who["eye_height"],
        "nose_y": -0.300 * head.length - 0.052 * who["nose_length"],
        "mouth_y": -0.60 * head.length + 0.03 * who["mouth_height"],
    }


def _depths(head: Head, features: dict[str, Measure]) -> tuple[Measure, ...]:
    """Depth of this person's base surface behind eyes, nose root, nose base and mouth.

    Features are placed on the surface they sit on: that keeps extreme people intact.
    """
    zero = torch.zeros_like(head.width)
    places = [
        (features["eye_x"], features["eye_y"]),
        (zero, features["eye_y"] + 0.02),
        (zero, features["nose_y"]),
        (zero, features["mouth_y"]),
    ]
    x, y = (torch.cat(c, 1) for c in zip(*places, strict=True))
    z = torch.full_like(x, 1.3)
    for _ in range(14):
        z = z - 0.9 * base_distance(head, Points(x, y, z))
    return tuple(z.split(1, 1))


def _eyes(who: dict, does: dict, features: dict, depth: Measure) -> Eyes:
    size = 1 + 0.10 * who["eye_size"]
    opening = 0.084 * (1 + 0.28 * who["eye_opening"]) * size
    opening = opening * (1 + 0.15 * does["brow"].clamp(min=0))
    squint = 0.018 * does["smile"].clamp(min=0) + 0.012 * does["frown"]
    radius, socket = 0.170 * size, 0.062 + 0.018 * who["eye_depth"]
    across, up = 0.45 * does["gaze_x"], 0.32 * does["gaze_y"]
    return Eyes(
        x=features["eye_x"],
        y=features["eye_y"],
        z=depth - socket - radius + 0.042,
        radius=radius,
        half_width=0.150 * (1 + 0.13 * who["eye_size"]),
        upper=opening,
        lower=(0.68 * opening - squint).clamp(min=0.012),
        slant=0.050 * who["eye_slant"] + 0.012,
        socket=socket,
        blink_left=does["blink_left"],
        blink_right=does["blink_right"],
        gaze_x=across.sin() * up.cos(),
        gaze_y=up.sin(),
        gaze_z=across.cos() * up.cos(),
    )


def _brows(who: dict, does: dict, eyes: Eyes) -> Brows:
    y = 0.19 + 0.03 * who["brow_height"] + 0.09 * does["brow"] + eyes.y
    return Brows(
        y_left=y + 0.06 * does["brow_tilt"],
        y_right=y - 0.06 * does["brow_tilt"],
        ridge=0.035 + 0.022 * who["brow_ridge"],
        thickness=0.034 * (1 + 0.42 * who["brow_thickness"]),
        slant=0.035 * who["brow_slant"] + 0.01,
        arch=0.045 * (1 + 0.7 * who["brow_arch"]),
        half_length=0.185 * (1 + 0.12 * who["brow_length"]),
        frown=does["frown"],
        raised=does["brow"].clamp(min=0),
    )


def _nose(who: dict, does: dict, features: dict, root_depth: Measure, base: Measure) -> Nose:
    root_y, root_z = features["eye_y"] + 0.06, root_depth - 0.060
    tip_y = features["nose_y"] + 0.03 * who["nose_tip"]
    tip_z = base + 0.125 + 0.035 * who["nose_forward"]
    wider = 0.012 * does["smile"].clamp(min=0)
    return Nose(
        root_y=root_y,
        root_z=root_z,
        tip_y=tip_y,
        tip_z=tip_z,
        inverse_length_squared=1 / ((tip_y - root_y).square() + (tip_z - root_z).square()),
        root_radius=0.062 + 0.012 * who["nose_bridge"],
        tip_radius=0.084 + 0.012 * who["nose_width"],
        hump=0.018 * who["nose_hump"],
        base_y=features["nose_y"],
        wing_x=0.088 + 0.024 * who["nose_width"] + wider,
        wing_z=base + 0.035,
        wing_radius=0.058 + 0.012 * who["nose_width"],
    )


def _mouth(who: dict, does: dict, head: Head, features: dict, depth: Measure) -> Mouth:
    smile, pucker, jaw = does["smile"], does["pucker"], does["jaw"]
    up, down = smile.clamp(min=0), (-smile).clamp(min=0)
    half = 0.235 * (1 + 0.17 * who["mouth_width"])
    half = half * (1 + 0.26 * up - 0.05 * down - 0.38 * pucker) * (1 - 0.08 * jaw)
    return Mouth(
        y=features["mouth_y"],
        z=depth,
        inverse_half_width=1 / half,
        lift=(0.105 * smile + 0.018) * (1 - 0.5 * pucker),
        crooked=0.012 * who["crooked_mouth"] * (1 + up),
        open_up=0.030 * jaw + 0.014 * up,
        open_down=0.202 * jaw * head.length + 0.012 * up,
        upper_lip=0.047 * (1 + 0.42 * who["upper_lip"]) * (1 + 0.3 * pucker - 0.22 * up),
        lower_lip=0.062 * (1 + 0.38 * who["lower_lip"]) * (1 + 0.3 * pucker - 0.2 * up),
        protrusion=0.040 + 0.012 * who["lower_lip"] + 0.055 * pucker,
        smile=up,
    )


def _ears(who: dict, head: Head) -> Ears:
    height = 0.17 * (1 + 0.18 * who["ear_size"])
    return Ears(
        x=0.665 * head.width + 0.02,
        inverse_height=1 / height,
        inverse_depth=1 / (0.62 * height),
        out=0.35 + 0.2 * who["ear_out"],
    )


def _row(table: dict[str, tuple[float, ...]], style: Measure) -> dict[str, Measure]:
    """The columns of a style table for each person's style."""
    at = style.round().long()
    return {name: torch.tensor(column).to(style)[at] for name, column in table.items()}


def _hair(who: dict, head: Head) -> Hair:
    style, volume = _row(HAIR, who["hair_style"]), who["hair_volume"]
    return Hair(
        thickness=style["thickness"] + style["thickness_spread"] * volume,
        top=style["top"] * (1 + 0.4 * volume),
        front_y=0.60 + 0.05 * (who["forehead"] + who["hair_line"]) + style["front"],
        nape_y=style["nape"],
        part=style["part"] * torch.where(who["hair_part"] < 0, -1.0, 1.0),
        taper=style["taper"],
        curl=style["curl"],
        groove=style["groove"],
        long=style["long"],
        hang_y=style["hang_middle"],
        hang_inverse_x=1 / (style["hang_width"] + 0.05 * volume),
        hang_inverse_y=1 / style["hang_height"],
        hang_bottom=style["hang_bottom"] - 0.10 * style["long"] * volume,
        opening=style["opening"] * head.width,
        bun=style["bun"] * (1 + 0.18 * volume),
        crest=style["crest"],
        receding=style["receding"],
        painted=style["painted"],
    )


def _extras(who: dict, eyes: Eyes) -> Extras:
    beard = _row(BEARDS, who["beard_style"])
    round_lens = (who["glasses"] > 1.5).float()
    height = 0.135 + 0.03 * who["glasses_height"] + 0.04 * round_lens
    width = 0.195 + 0.02 * who["glasses_width"]
    return Extras(
        beard=beard["amount"],
        beard_volume=beard["volume"],
        goatee=beard["goatee"],
        glasses=(who["glasses"] > 0.5).float(),
        lens_x=eyes.x + 0.01,
        lens_width=torch.where(round_lens > 0, 1.08 * height, width),
        lens_height=height,
        lens_round=torch.where(round_lens > 0, torch.minimum(height, width), 0.07),
        lens_z=eyes.z + eyes.radius + 0.145,
        neck=0.335 + 0.032 * who["neck_width"] + 0.025 * who["weight"],
        age=who["age"],
        freckles=(who["freckles"] - 0.35).clamp(min=0) * 1.5,
    )


def _pose(does: dict) -> Pose:
    """world = roll (about z) . yaw (about y) . pitch (about x) . head."""
    yaw, roll = (does[k] * (math.pi / 180) for k in ("yaw_deg", "roll_deg"))
    pitch = (does["pitch_deg"] + PITCH_AT_REST_DEG) * (math.pi / 180)
    cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
    # Rows of yaw . pitch first; roll then mixes the upper two.
    top, middle = (cy, -sy * sp, sy * cp), (torch.zeros_like(cp), cp, sp)
    return Pose(
        *(cr * a - sr * b for a, b in zip(top, middle, strict=True)),
        *(sr * a + cr * b for a, b in zip(top, middle, strict=True)),
        *(-sy, -cy * sp, cy * cp),
    )
