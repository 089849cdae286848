"""The true 68 landmarks: points of this person's own surface, in iBUG's order.

Points of brows, nose, eyes and lips are marched onto the skin from the front: the upper edge of the
painted brows, the outline of the red of the lips. The contour of the jaw is what annotators mark:
the jaw line in front of the ear on the side that shows it, and the visible edge of the face on the
side that is turned away.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.faceworld.fields import Points
from xfer.faceworld.geometry import bend, to_world
from xfer.faceworld.head import brow_half_width, brow_line, lid_edges, lip_edges, lip_outline
from xfer.faceworld.kernels import STRIDE, Kernels
from xfer.faceworld.measures import Pose, Rig, pack
from xfer.faceworld.rig import EYE_Y, JAW_Y

CENTER_Y = -0.25
"""Height in the middle of the head at which the rays to the contour start in an average face."""
WITH_EYES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.2, 0.0, 0.0, 0.0)
"""How far the start of each ray, the ears' first and the chin's last, goes up with the eyes."""
WITH_JAW = (0.0, 0.1, 0.3, 0.6, 0.8, 1.0, 1.0, 0.5, 0.0)
"""How far it goes down with the opening jaw."""
FAN_DEG = (-29.0, -17.0, -2.0, 15.0, 32.0, 48.0, 64.0, 78.0, 90.0)
"""Direction of contour points 0..8 below the horizontal; points 9..16 mirror them."""
BACK_DEG = (76.0, 80.0, 84.0, 84.0, 79.0, 77.0, 74.0, 72.0, 72.0)
"""How far back from straight ahead the jaw line lies in each direction."""
FRONT_DEG, CANDIDATES = 20.0, 12


def landmarks_3d(rig: Rig, kernels: Kernels) -> Points:
    """The 68 points in world coordinates, each coordinate (batch, 68)."""
    packed = pack(rig)
    x, y = _front_points(rig)
    z = torch.full_like(x, 1.3)
    for _ in range(14):
        z = kernels.fall(packed, x, y, z)
    front = to_world(rig.pose, bend(rig.head, Points(x, y, z)))
    contour = _contour(rig, packed, kernels)
    return Points(*(torch.cat(c, 1) for c in zip(contour, front, strict=True)))


def _front_points(rig: Rig) -> tuple[Tensor, Tensor]:
    """x and y in head coordinates of points 17 to 67."""
    parts = (_brow_points(rig), _nose_points(rig), _eye_points(rig), _lip_points(rig))
    return tuple(torch.cat(c, 1) for c in zip(*parts, strict=True))


def _row(like: Tensor, *numbers: float) -> Float[Tensor, "1 n"]:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)[None]


def _brow_points(rig: Rig) -> tuple[Tensor, Tensor]:
    """17..26 along the upper edge, from the picture's left to its right."""
    brows = rig.brows
    start = rig.eyes.x + 0.01 - 0.025 * brows.frown
    across = start + brows.half_length * _row(start, 0.94, 0.54, 0, -0.5, -0.94)
    x = torch.cat([-across, across.flip(1)], 1)
    along, middle = brow_line(rig, x)
    drop = _row(x, 0.03, 0, 0, 0, 0, 0, 0, 0, 0, 0.03)
    return x, middle + brow_half_width(brows, along) - drop


def _nose_points(rig: Rig) -> tuple[Tensor, Tensor]:
    """27..30 down the bridge, 31..35 along the base, which a tip turned up takes with it."""
    nose = rig.nose
    top = nose.root_y - 0.06
    bridge_y = top + (nose.tip_y - top) * _row(top, 0, 0.333, 0.667, 1)
    half = nose.wing_x + 0.4 * nose.wing_radius
    base_x = half * _row(top, -0.95, -0.5, 0, 0.5, 0.95)
    turned = (nose.tip_y - nose.base_y) * _row(top, 0.3, 0.4, 0.5, 0.4, 0.3)
    base_y = nose.base_y + turned - _row(top, 0.07, 0.085, 0.10, 0.085, 0.07)
    return torch.cat([0 * bridge_y, base_x], 1), torch.cat([bridge_y, base_y], 1)


def _eye_points(rig: Rig) -> tuple[Tensor, Tensor]:
    """36..47: outer corner, upper lid, inner corner, lower lid of the eye on the picture's left;
    the other eye starts at its inner corner."""
    eyes = rig.eyes
    left = _row(eyes.x, 0.74, 0.28, -0.38, -0.84, -0.38, 0.28)
    right = _row(eyes.x, -0.84, -0.38, 0.28, 0.74, 0.28, -0.38)
    x = torch.cat([-(eyes.x + eyes.half_width * left), eyes.x + eyes.half_width * right], 1)
    _, upper, lower = lid_edges(eyes, Points(x, x, x))
    on_upper = _row(x, 0.5, 1, 1, 0.5, 0, 0, 0.5, 1, 1, 0.5, 0, 0)
    return x, lower + (upper - lower) * on_upper


def _lip_points(rig: Rig) -> tuple[Tensor, Tensor]:
    """48..59 around the lips, 60..67 around their opening."""
    mouth = rig.mouth
    u = _row(mouth.y, -1, -0.6, -0.22, 0, 0.22, 0.6, 1, 0.6, 0.28, 0, -0.28, -0.6,
             -0.76, -0.25, 0, 0.25, 0.76, 0.25, 0, -0.25)  # fmt: skip
    x = u / mouth.inverse_half_width
    _, _, upper, lower, middle = lip_edges(mouth, x)
    top, bottom = lip_outline(mouth, x)
    around = (middle[:, :1], top[:, 1:6], middle[:, 6:7], bottom[:, 7:12])
    return x, torch.cat([*around, upper[:, 12:17], lower[:, 17:]], 1)


def _contour(rig: Rig, packed: Tensor, kernels: Kernels) -> Points:
    """0..16 in world coordinates, each (batch, 17).

    The candidates of a point lie around the head between straight ahead and the jaw line, in the
    plane of its ray; the outermost one in the picture is the visible edge.
    """
    like = rig.head.length
    below = _row(like, *FAN_DEG, *(180 - d for d in reversed(FAN_DEG[:-1]))) * (math.pi / 180)
    back = _row(like, *BACK_DEG, *reversed(BACK_DEG[:-1])) * (math.pi / 180)
    out_x, out_y = -below.cos(), -below.sin()
    front = FRONT_DEG * math.pi / 180
    steps = torch.linspace(0, 1, CANDIDATES, device=like.device)
    angle = front + (back[..., None] - front) * steps  # (1, 17, candidates)
    dx, dy = out_x[..., None] * angle.sin(), out_y[..., None] * angle.sin()
    flat = [d.flatten(1).expand(len(like), -1) for d in (dx, dy, angle.cos())]
    start = _starts(rig).repeat_interleave(CANDIDATES, 1)
    surface = _march_inwards(packed, kernels, start, Points(*flat))
    world = to_world(rig.pose, bend(rig.head, surface))
    candidates = [c.unflatten(1, (17, CANDIDATES)) for c in world]
    out = _turned(rig.pose, out_x, out_y)
    extent = candidates[0] * out[0][..., None] + candidates[1] * out[1][..., None]
    return Points(*_at_peak(extent, candidates))


def _starts(rig: Rig) -> Float[Tensor, "batch 17"]:
    """Heights at which the rays start: each contour point keeps to the features beside it."""
    with_eyes, with_jaw = (_row(rig.eyes.y, *w, *w[-2::-1]) for w in (WITH_EYES, WITH_JAW))
    raised = rig.eyes.y - EYE_Y
    opened = rig.head.jaw_y - JAW_Y * rig.head.length
    return CENTER_Y * rig.head.length + with_eyes * raised + with_jaw * opened


def _march_inwards(packed: Tensor, kernels: Kernels, start: Tensor, direction: Points) -> Points:
    """Where rays from the head's middle leave it, found from outside."""

    def at(reach: Tensor) -> Points:
        return Points(direction.x * reach, start + direction.y * reach, direction.z * reach)

    reach = torch.full_like(direction.x, 1.5)
    for _ in range(14):
        reach = reach - STRIDE * kernels.shrink(packed, *at(reach))
    return at(reach)


def _turned(pose: Pose, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A direction in the head's frontal plane, seen in the picture."""
    return pose.xx * x + pose.xy * y, pose.yx * x + pose.yy * y


def _at_peak(score: Tensor, values: list[Tensor]) -> list[Tensor]:
    """Values at the maximum of `score` over the last axis, refined by a parabola: no jumps."""
    best = score.argmax(-1, keepdim=True).clamp(1, CANDIDATES - 2)
    low, middle, high = (score.gather(-1, best + k) for k in (-1, 0, 1))
    curve = (2 * middle - low - high).clamp(min=1e-6)
    shift = (0.5 * (high - low) / curve).clamp(-1, 1)
    peaks = []
    for value in values:
        a, b, c = (value.gather(-1, best + k) for k in (-1, 0, 1))
        peaks.append((b + 0.5 * shift * (c - a) + 0.5 * shift * shift * (a - 2 * b + c))[..., 0])
    return peaks
