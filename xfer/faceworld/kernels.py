"""The functions of points that rendering consists of, as they are or made fast for a processor.

Each takes packed measures of people (`rig`, `look`, `lens`) and then numbers per point, and is
elementwise in the points. `kernels` gives the same functions built by the machine's C++ compiler,
or as straight lines of NumPy calls, which takes some five times as long.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from xfer.faceworld.appearance import shade, tone
from xfer.faceworld.camera import CAMERA_Z
from xfer.faceworld.fields import Points, length
from xfer.faceworld.geometry import blocker_distance, scene_distance
from xfer.faceworld.head import base_distance, closed_skin_distance
from xfer.faceworld.look import Look, unpack_look
from xfer.faceworld.measures import MEASURES, unpack
from xfer.faceworld.native import Kernel
from xfer.faceworld.straight import Straight

FAR = CAMERA_Z + 1.6
"""Distance from the camera behind which nothing is looked for."""
CLOSE_ENOUGH = 0.0025
STRIDE = 0.9
"""Part of the distance that a step dares: the field is not everywhere a lower bound."""
TETRAHEDRON = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
SKY, SUN = (0.05, 0.16), (0.06, 0.13, 0.24, 0.45)
"""How far from the surface occlusion is felt, towards the sky and towards the light."""


class Kernels(NamedTuple):
    step: Callable
    feel: Callable
    shade: Callable
    fall: Callable
    shrink: Callable


def step(
    rig: Tensor, lens: Tensor, dx: Tensor, dy: Tensor, dz: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances t after one step towards the surface, and the field before it.

    A cone, which has a width, stops where the surface may be inside it.
    """
    at = Points(lens[0] + dx * t, lens[1] + dy * t, CAMERA_Z + dz * t)
    d = scene_distance(unpack(rig), at)
    go_on = (t < FAR) & (d.abs() > CLOSE_ENOUGH + t * lens[2])
    return torch.where(go_on, t + d * STRIDE, t), d


def feel(
    rig: Tensor, look: Tensor, reach: Tensor, x: Tensor, y: Tensor, z: Tensor
) -> tuple[Tensor, ...]:
    """At surface points: the normal's x, y and z, openness to the sky and to the key light.

    The normal points to where the distance grows, felt `reach` away in four directions (a
    tetrahedron). Occlusion is felt with the simpler field of what throws soft shadows.
    """
    person, at = unpack(rig), Points(x, y, z)
    around = [_moved(at, Points(*k), reach[0]) for k in TETRAHEDRON]
    a, b, c, d = scene_distance(person, _stacked(around)).unbind(0)
    nx, ny, nz = a - b - c + d, d - a - b + c, b - a - c + d
    scale = 1 / length(nx, ny, nz)
    normal = Points(nx * scale, ny * scale, nz * scale)
    start, sun = _moved(at, normal, 0.02), Points(*unpack_look(look).toward_light)
    probes = [_moved(at, normal, h) for h in SKY] + [_moved(start, sun, h) for h in SUN]
    near, far, *ahead = blocker_distance(person, _stacked(probes)).unbind(0)
    open_sky = 1 - 3.0 * (SKY[0] - near).clamp(min=0) - 1.5 * (SKY[1] - far).clamp(min=0)
    lit = torch.ones_like(x)
    for h, d in zip(SUN, ahead, strict=True):
        lit = torch.minimum(lit, d * (1.75 / h) + 0.5)
    lit = lit.clamp(0, 1)
    return *normal, open_sky.clamp(0.15, 1), lit * lit * (3 - 2 * lit)


def _moved(p: Points, direction: Points, by: float | Tensor) -> Points:
    return Points(*(c + by * d for c, d in zip(p, direction, strict=True)))


def _stacked(places: list[Points]) -> Points:
    """Several sets of points as one, along a new first axis."""
    return Points(*(torch.stack(c) for c in zip(*places, strict=True)))


def shaded(rig: Tensor, look: Tensor, *points: Tensor) -> tuple[Tensor, Tensor]:
    """Linear colours (3, batch, n) and parts.

    Args:
        points: x, y, z of the place, the normal and the ray, then openness to sky and light.
    """
    place, normal, ray = Points(*points[:3]), Points(*points[3:6]), Points(*points[6:9])
    light, part = shade(unpack(rig), unpack_look(look), place, normal, ray, *points[9:])
    return tone(light), part


def fall(rig: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Depths after one step straight back onto the skin, in head coordinates."""
    person, p = unpack(rig), Points(x, y, z)
    return z - STRIDE * closed_skin_distance(person, p, base_distance(person.head, p))


def shrink(rig: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Distance from a place outside the head to its base surface, in head coordinates."""
    return base_distance(unpack(rig).head, Points(x, y, z))


PLAIN = Kernels(step, feel, shaded, fall, shrink)
"""The functions as they are, for any device."""


@cache
def kernels(compiled: bool) -> Kernels:
    """The functions for this machine's processor, compiled or as calls of NumPy."""
    build = Kernel if compiled else Straight
    rig, look, lens, reach = (MEASURES,), (len(Look._fields), 3), (3,), (1,)
    return Kernels(
        step=build(step, [rig, lens], 4),
        feel=build(feel, [rig, look, reach], 3),
        shade=build(shaded, [rig, look], 11),
        fall=build(fall, [rig], 3),
        shrink=build(shrink, [rig], 3),
    )
