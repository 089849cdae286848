"""Colours of a person and of a scene, computed once per picture. Colours are linear RGB."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.faceworld.factors import Group
from xfer.faceworld.fields import mix

Color = Float[Tensor, "3 batch 1"]

# Rows of sRGB colours that a tone runs along from -1 to 1.
SKINS = ((0.96, 0.80, 0.71), (0.87, 0.66, 0.53), (0.66, 0.45, 0.33), (0.36, 0.23, 0.17))
HAIRS = ((0.10, 0.08, 0.08), (0.26, 0.17, 0.12), (0.50, 0.33, 0.20), (0.84, 0.68, 0.42))
IRISES = ((0.22, 0.13, 0.08), (0.40, 0.26, 0.14), (0.38, 0.46, 0.26), (0.36, 0.52, 0.68))


class Look(NamedTuple):
    """Everything that shading reads and geometry does not."""

    skin: Color
    lips: Color
    hair: Color
    brow: Color
    beard: Color
    iris: Color
    frames: Color
    shirt: Color
    key: Color
    """Colour and strength of the key light."""
    ambient: Color
    rim: Color
    """Strength of the light from behind, the same in all channels."""
    toward_light: Color
    """Unit vector to the key light (x, y, z in place of colours)."""
    ground: Color
    """Background."""
    pattern: Color
    pattern_wave: Color
    """Frequencies x and y and phase of the pattern."""


def pack_look(look: Look) -> Float[Tensor, "colors 3 batch 1"]:
    return torch.stack([color.expand(3, -1, -1) for color in look])


def unpack_look(packed: Float[Tensor, "colors 3 batch 1"]) -> Look:
    return Look(*packed.unbind(0))


def rgb(red: float, green: float, blue: float, like: Tensor) -> Float[Tensor, "3 1 1"]:
    """An sRGB colour (0..1) as linear light."""
    return torch.tensor([red**2.2, green**2.2, blue**2.2], device=like.device).view(3, 1, 1)


def tint(red: float, green: float, blue: float, like: Tensor) -> Float[Tensor, "3 1 1"]:
    """Factors by which a colour is multiplied."""
    return torch.tensor([red, green, blue], device=like.device).view(3, 1, 1)


def _along(position: Tensor, *srgb: tuple[float, float, float]) -> Color:
    """The colour at `position` (-1..1) of a row of colours."""
    at = (position * 0.5 + 0.5) * (len(srgb) - 1)
    weights = [(1 - (at - i).abs()).clamp(min=0) for i in range(len(srgb))]
    return sum(rgb(*c, like=at) * w for c, w in zip(srgb, weights, strict=True))


def _hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Color:
    """Linear RGB of hue (turns), saturation and value, each (1, batch, 1)."""

    def channel(n: float) -> Tensor:
        k = (n + (hue % 1.0) * 6) % 6
        return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)

    return torch.cat([channel(5), channel(3), channel(1)]).clamp(min=1e-4) ** 2.2


def build_look(identity: Group, scene: Group) -> Look:
    """Colours of each person (rows of `identity`) in the scene of the same row."""
    who = {name: identity[name][None, :, None] for name in identity.names}
    where = {name: scene[name][None, :, None] for name in scene.names}
    skin, hair = _skin(who), _hair(who)
    natural, painted = skin * tint(0.86, 0.55, 0.55, skin), rgb(0.72, 0.22, 0.26, skin)
    painted = painted * (0.45 + 0.9 * skin.mean(0, keepdim=True))
    iris = _along(who["iris_tone"], *IRISES)
    brown = (who["glasses_tone"] - 0.2).clamp(min=0) * rgb(0.6, 0.35, 0.2, skin)
    return Look(
        skin=skin,
        lips=mix(natural, painted, 0.35 + 0.35 * who["lip_red"]),
        hair=hair,
        brow=mix(hair * 0.55, rgb(0.13, 0.09, 0.08, skin), 0.5),
        beard=mix(hair * 0.75, hair * skin * 0.8, 0.55),
        iris=iris * (1 + 0.3 * who["iris_light"]),
        frames=0.05 + brown,
        shirt=_hsv(
            where["shirt_hue"] * 0.5 + 0.5,
            0.45 + 0.35 * where["shirt_saturation"],
            0.5 + 0.35 * where["shirt_value"],
        ),
        **_lights(where),
        **_background(where),
    )


def _skin(who: dict) -> Color:
    tone = _along(who["skin_tone"], *SKINS)
    return tone * (1 + who["skin_red"] * tint(0.04, -0.05, -0.08, tone))


def _hair(who: dict) -> Color:
    tone = _along(who["hair_tone"], *HAIRS)
    red = (who["hair_red"] - 0.6).clamp(min=0) * 2
    grey = (who["hair_grey"] - 0.7).clamp(min=0) * 3
    return mix(mix(tone, rgb(0.62, 0.26, 0.12, tone), red), rgb(0.72, 0.72, 0.73, tone), grey)


def _lights(where: dict) -> dict[str, Color]:
    azimuth = where["light_azimuth_deg"] * (math.pi / 180)
    elevation = where["light_elevation_deg"] * (math.pi / 180)
    warm, cool = where["light_warmth"], where["ambient_tint"]
    one = torch.ones_like(warm)
    key = torch.cat([1 + 0.18 * warm, one, 1 - 0.22 * warm])
    ambient = torch.cat([1 - 0.12 * cool, one, 1 + 0.14 * cool])
    level = elevation.cos()
    return {
        "key": key * (1.25 + 0.35 * where["light_strength"]),
        "ambient": ambient * (0.42 + 0.14 * where["ambient"]),
        "rim": (0.25 + 0.25 * where["rim"]).expand(3, -1, -1),
        "toward_light": torch.cat([azimuth.sin() * level, elevation.sin(), azimuth.cos() * level]),
    }


def _background(where: dict) -> dict[str, Color]:
    saturation = 0.35 + 0.3 * where["background_saturation"]
    hue, value = where["background_hue"] * 0.5 + 0.5, 0.5 + 0.38 * where["background_value"]
    ground = _hsv(hue, saturation, value)
    hue, value = where["pattern_hue"] * 0.5 + 0.5, 0.5 + 0.38 * where["pattern_value"]
    pattern = mix(ground, _hsv(hue, saturation, value), where["pattern_strength"])
    waves = torch.cat([where["pattern_x"], where["pattern_y"], where["pattern_phase"]])
    return {"ground": ground, "pattern": pattern, "pattern_wave": waves}
