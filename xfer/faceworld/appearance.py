"""What a point of the scene looks like: material by part, then light. Colours are linear RGB."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xfer.faceworld.complexion import paint_skin
from xfer.faceworld.fields import Field, Points, bell, bump, mix, ramp, wave
from xfer.faceworld.geometry import Part, part_at, straighten, to_head
from xfer.faceworld.head import lid_edges
from xfer.faceworld.look import Look, rgb, tint
from xfer.faceworld.measures import Rig

Colors = Float[Tensor, "3 batch n"]


class Surface(NamedTuple):
    """How points take light."""

    color: Colors
    specular: Field
    gloss: Field
    """Exponent of the highlight."""
    softness: Field
    """1 for skin, under which light spreads; 0 for cloth."""


def shade(
    rig: Rig, look: Look, at: Points, normal: Points, ray: Points, open_sky: Field, lit: Field
) -> tuple[Colors, Field]:
    """Light that leaves each point towards the camera, and its part.

    Args:
        at, normal, ray: World coordinates; `ray` runs from the camera to the point.
        open_sky: Ambient occlusion, 1 where nothing is near.
        lit: Shadow, 1 where the key light arrives.
    """
    part = part_at(rig, at)
    surface = _surface(rig, look, straighten(rig.head, to_head(rig.pose, at)), part)
    is_hair = part == int(Part.HAIR)
    sun = Points(*look.toward_light)
    facing_sun = normal.x * sun.x + normal.y * sun.y + normal.z * sun.z
    facing_eye = -(normal.x * ray.x + normal.y * ray.y + normal.z * ray.z)
    soft = surface.softness
    # Red light wraps further around skin than blue: a cheap stand-in for scattering below it.
    wrap = [((facing_sun + w * soft) / (1 + w * soft)).clamp(min=0) for w in (0.45, 0.20, 0.12)]
    shadow = torch.stack([mix(lit, lit * 0.85 + 0.15, soft), lit, lit])
    bounce = torch.stack([torch.ones_like(soft), 1 - soft * 0.25 * (1 - open_sky),
                          1 - soft * 0.3 * (1 - open_sky)])  # fmt: skip
    ambient = look.ambient * ((0.65 + 0.35 * normal.y) * open_sky) * bounce
    highlight = _highlight(surface, sun, normal, ray, facing_sun, facing_eye, is_hair)
    fresnel = (1 - facing_eye).clamp(0, 1) ** 3 * (facing_eye > 0)
    rim = look.rim[0] * fresnel * (0.5 - 0.5 * normal.x * sun.x) * open_sky
    light = surface.color * (look.key * torch.stack(wrap) * shadow + ambient)
    return light + look.key * (highlight * lit) + look.ambient * (0.5 * rim), part.float()


def _highlight(
    surface: Surface,
    sun: Points,
    normal: Points,
    ray: Points,
    facing_sun: Field,
    facing_eye: Field,
    is_hair: Bool[Tensor, "..."],
) -> Field:
    """Blinn-Phong on skin; on hair, a band across the strands (Kajiya-Kay)."""
    x, y, z = sun.x - ray.x, sun.y - ray.y, sun.z - ray.z
    scale = (x * x + y * y + z * z + 1e-9).rsqrt()
    nx, ny, nz = normal
    cosine = ((nx * x + ny * y + nz * z) * scale).clamp(1e-4, 1)
    shiny = torch.exp2(surface.gloss * torch.log2(cosine))
    # Strands run along the projection of "up" onto the surface.
    sx, sy, sz = -ny * nx, 1 - ny * ny, -ny * nz
    along = (sx * x + sy * y + sz * z) * scale * (sx * sx + sy * sy + sz * sz + 1e-9).rsqrt()
    band = (1 - along * along).clamp(min=0)
    band = band.square().square().square().square()  # to the power of 16
    band = band * (0.2 + 0.8 * ramp(-0.3, 0.4, facing_sun))
    highlight = torch.where(is_hair, band, shiny)
    return surface.specular * highlight * ((facing_sun > 0) | is_hair) * ramp(0.0, 0.25, facing_eye)


def _surface(rig: Rig, look: Look, p: Points, part: Tensor) -> Surface:
    """Material of each point, from the paint of its part."""
    skin, lips, hairy = paint_skin(rig, look, p)
    nose = bump(p.x.square() * 70 + (p.y - rig.nose.base_y).square() * 40)
    strands, dull = _strands(rig, p)
    is_eye, is_hair = part == int(Part.EYES), part == int(Part.HAIR)
    is_glass, is_shirt = part == int(Part.GLASSES), part == int(Part.CLOTHES)
    color = torch.where(is_eye, _eye_color(rig, look, p), skin)
    color = torch.where(is_hair, look.hair * (1 + 0.30 * strands), color)
    color = torch.where(is_glass, look.frames, color)
    color = torch.where(is_shirt, look.shirt, color)
    specular = (0.16 + 0.22 * lips + 0.10 * nose) * (1 - 0.8 * hairy)
    specular = torch.where(is_eye | is_glass, 0.5, specular)
    specular = torch.where(is_hair, 0.16 * dull * (1 + 0.6 * strands), specular)
    specular = torch.where(is_shirt, 0.0, specular)
    gloss = torch.where(is_eye, 90.0, torch.where(is_glass, 50.0, 14 + 30 * lips))
    softness = torch.where(is_eye, 0.35, torch.where(is_hair, 0.15, 1 - hairy))
    return Surface(color, specular, gloss, torch.where(is_glass | is_shirt, 0.0, softness))


def _strands(rig: Rig, p: Points) -> tuple[Field, Field]:
    """Lighter and darker strands (-1..1), and how much hair shines (less when curly)."""
    around = torch.atan2(p.x, p.z + 1e-4)
    smooth = 0.5 * wave(around * 46 + 3 * wave(p.y * 6 + around * 3))
    smooth = smooth + 0.5 * wave(around * 101 + 2 * wave(p.y * 9))
    curly = wave(p.x * 60) * wave(p.y * 60) * wave(p.z * 60) * 1.5
    curl = (rig.hair.curl * 25).clamp(max=1)
    return mix(smooth, curly, curl), 1 - 0.9 * curl


def _eye_color(rig: Rig, look: Look, p: Points) -> Colors:
    """Eyeball with iris, limbal ring, pupil, the lid's shadow and a glint."""
    eyes, side = rig.eyes, torch.sign(p.x)
    x, y, z = p.x - side * eyes.x, p.y - eyes.y, p.z - eyes.z
    x, y, z = x / eyes.radius, y / eyes.radius, z / eyes.radius
    # Both eyes turn in slightly, towards the camera.
    cosine = x * (eyes.gaze_x - 0.03 * side) + y * eyes.gaze_y + z * eyes.gaze_z
    angle = torch.acos(cosine.clamp(-1, 1))
    u, upper, _ = lid_edges(eyes, p)
    white = rgb(0.93, 0.91, 0.90, look.iris)
    color = mix(white, white * tint(1.0, 0.80, 0.78, white), ramp(0.55, 1.0, u.abs()))
    iris = look.iris * (0.75 + 0.6 * ramp(0.2, 0.5, angle))
    color = mix(color, iris, ramp(IRIS_ANGLE + 0.03, IRIS_ANGLE - 0.03, angle))
    color = mix(color, look.iris * 0.25, 0.8 * bell((angle - IRIS_ANGLE) * 16.7))
    color = mix(color, rgb(0.02, 0.02, 0.02, color), ramp(0.25, 0.20, angle))
    color = color * (0.45 + 0.55 * ramp(0.0, 0.055, upper - p.y))
    glint = bump(((x - 0.16).square() + (y - 0.22).square()) * 111) * ramp(0, 0.02, upper - p.y)
    return color + 0.9 * glint


IRIS_ANGLE = 0.53
"""Radius of the iris as an angle from the eye's centre, radians."""


def tone(light: Tensor) -> Tensor:
    """Linear light to a linear picture in (0, 1]: highlights are compressed."""
    light = light.clamp(0, 4)
    return (light * (1 + 0.12 * light) / (1 + 0.35 * light)).clamp(1e-5, 1)


def background(look: Look, x: Field, y: Field) -> Colors:
    """The wall behind, at picture coordinates in [0, 1] (x right, y down)."""
    fx, fy, phase = look.pattern_wave
    swirl = 1.5 * wave(5 * x * fy + 9 * phase) + wave(6 * y * fx - 9 * phase)
    amount = 0.5 + 0.5 * wave(7 * (x * fx + y * fy) + 6 * phase + swirl)
    return tone(mix(look.ground, look.pattern, amount))
