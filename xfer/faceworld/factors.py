"""What a face can be and do: the factors of the world, their units and ranges, and random draws.

Three groups. `identity` says who it is, `motion` what the head does in one frame, `scene` how it
is lit and filmed. Random numbers are always drawn on the CPU, so a seed means the same factors
everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from xfer.errors import expect


class Factor(NamedTuple):
    """One number of the world."""

    name: str
    low: float
    high: float
    meaning: str
    unit: str = "spread"
    """'spread': 1 is a typical difference between people; 'deg'; 'fraction'; or 'choice'."""


HAIR_STYLES = (
    "bald", "buzz", "short", "side part", "afro", "long", "bob", "bun", "receding", "mohawk",
)  # fmt: skip
BEARD_STYLES = ("none", "stubble", "full", "goatee")
GLASSES = ("none", "square", "round")


def _spread(name: str, meaning: str) -> Factor:
    return Factor(name, -1.5, 1.5, meaning)


def _tone(name: str, meaning: str, unit: str = "fraction") -> Factor:
    return Factor(name, -1.0, 1.0, meaning, unit)


def _choice(name: str, names: Sequence[str]) -> Factor:
    return Factor(name, 0.0, len(names) - 1.0, ", ".join(names), "choice")


IDENTITY = (
    _spread("head_width", "wider head"),
    _spread("head_length", "longer face"),
    _spread("head_depth", "deeper skull"),
    _spread("weight", "heavier: rounder face, thicker neck"),
    _spread("jaw_width", "wider jaw"),
    _spread("jaw_corner", "more marked corners of the jaw"),
    _spread("chin_length", "longer chin"),
    _spread("chin_width", "wider chin"),
    _spread("chin_forward", "chin further forward"),
    _spread("cheekbone", "more marked cheekbones"),
    _spread("cheek_fat", "fuller cheeks"),
    _spread("forehead", "higher forehead"),
    _spread("brow_ridge", "stronger ridge above the eyes"),
    _spread("nose_length", "longer nose"),
    _spread("nose_width", "wider nose"),
    _spread("nose_forward", "nose stands out further"),
    _spread("nose_bridge", "wider bridge of the nose"),
    _spread("nose_hump", "hump on the bridge"),
    _spread("nose_tip", "tip turned up"),
    _spread("eye_size", "larger eyes"),
    _spread("eye_spacing", "eyes further apart"),
    _spread("eye_opening", "lids further open"),
    _spread("eye_slant", "outer corners of the eyes higher"),
    _spread("eye_height", "eyes higher"),
    _spread("eye_depth", "eyes deeper in their sockets"),
    _spread("mouth_width", "wider mouth"),
    _spread("mouth_height", "mouth higher"),
    _spread("upper_lip", "fuller upper lip"),
    _spread("lower_lip", "fuller lower lip"),
    _spread("ear_size", "larger ears"),
    _spread("ear_out", "ears stand out"),
    _spread("brow_thickness", "thicker eyebrows"),
    _spread("brow_arch", "more arched eyebrows"),
    _spread("brow_height", "higher eyebrows"),
    _spread("brow_slant", "outer ends of the eyebrows higher"),
    _spread("brow_length", "longer eyebrows"),
    _spread("neck_width", "thicker neck"),
    _spread("nose_lean", "middle of the face bent to the picture's right"),
    _spread("face_tilt", "the face's right side of the picture sits higher"),
    _spread("crooked_mouth", "the mouth's right corner in the picture sits higher"),
    _tone("skin_tone", "light to dark"),
    _tone("skin_red", "yellowish to reddish"),
    _tone("lip_red", "skin-coloured to red lips"),
    _tone("hair_tone", "black to blond"),
    _tone("hair_red", "red hair from 0.6 on"),
    _tone("hair_grey", "grey hair from 0.7 on"),
    _spread("hair_volume", "fuller hair"),
    _spread("hair_line", "higher hairline"),
    _tone("hair_part", "side of the parting: its sign"),
    _tone("iris_tone", "brown, hazel, green, blue"),
    _tone("iris_light", "darker to lighter iris"),
    _tone("freckles", "freckles from 0.35 on"),
    Factor("age", 0.0, 1.0, "young to old: lines and folds", "fraction"),
    _spread("glasses_width", "wider glasses"),
    _spread("glasses_height", "taller glasses"),
    _tone("glasses_tone", "black to brown frames"),
    _choice("hair_style", HAIR_STYLES),
    _choice("beard_style", BEARD_STYLES),
    _choice("glasses", GLASSES),
)

MOTION = (
    Factor("yaw_deg", -180, 180, "head turned to the picture's right", "deg"),
    Factor("pitch_deg", -90, 90, "head raised, looking up", "deg"),
    Factor("roll_deg", -180, 180, "head tilted counter-clockwise in the picture", "deg"),
    Factor("jaw", 0, 1, "mouth opened by the jaw", "fraction"),
    Factor("smile", -1, 1, "corners of the mouth down to up", "fraction"),
    Factor("pucker", 0, 1, "lips pursed", "fraction"),
    Factor("brow", -1, 1, "both eyebrows down to up", "fraction"),
    Factor("brow_tilt", -1, 1, "left eyebrow up and right one down", "fraction"),
    Factor("frown", 0, 1, "eyebrows drawn together", "fraction"),
    Factor("blink_left", 0, 1, "lid of the person's left eye (picture's right) closed", "fraction"),
    Factor("blink_right", 0, 1, "lid of the person's right eye closed", "fraction"),
    Factor("gaze_x", -1, 1, "eyes to the picture's right against the head, 1 = 26 deg", "fraction"),
    Factor("gaze_y", -1, 1, "eyes up against the head, 1 = 18 deg", "fraction"),
)

SCENE = (
    Factor("light_azimuth_deg", -90, 90, "key light from the picture's right", "deg"),
    Factor("light_elevation_deg", -20, 80, "key light from above", "deg"),
    _tone("light_strength", "weak to strong key light"),
    _tone("light_warmth", "cold to warm key light"),
    _tone("ambient", "weak to strong light from everywhere"),
    _tone("ambient_tint", "warm to cold light from everywhere"),
    _tone("rim", "weak to strong light from behind"),
    _tone("background_hue", "hue of the background, one turn"),
    _tone("background_saturation", "grey to coloured"),
    _tone("background_value", "dark to light"),
    _tone("pattern_hue", "hue of the background's pattern, one turn"),
    _tone("pattern_value", "dark to light pattern"),
    Factor("pattern_strength", 0, 1, "plain background to full pattern", "fraction"),
    _tone("pattern_x", "stripes across"),
    _tone("pattern_y", "stripes along"),
    _tone("pattern_phase", "shift of the pattern"),
    _tone("shirt_hue", "hue of the clothes, one turn"),
    _tone("shirt_saturation", "grey to coloured clothes"),
    _tone("shirt_value", "dark to light clothes"),
    _tone("shift_x", "head left or right of the middle of the picture"),
    _tone("shift_y", "head below or above the middle of the picture"),
    _tone("zoom", "further away to nearer"),
)

GROUPS = {"identity": IDENTITY, "motion": MOTION, "scene": SCENE}
_COLUMN = {group: {f.name: i for i, f in enumerate(fs)} for group, fs in GROUPS.items()}
Rows = Int[Tensor, " rows"] | slice | Sequence[int]


@dataclass(frozen=True)
class Group:
    """The factors of one group for a batch: one row per picture, one named column per factor."""

    kind: str
    values: Float[Tensor, "batch factors"]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_COLUMN[self.kind])

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Float[Tensor, " batch"]:
        """One factor by its name."""
        expect(name in _COLUMN[self.kind], f"no factor {name!r} in {self.kind}: {self.names}")
        return self.values[:, _COLUMN[self.kind][name]]

    def replace(self, **named: float | Tensor) -> "Group":
        """The same with some factors set."""
        values = self.values.clone()
        for name, value in named.items():
            expect(name in _COLUMN[self.kind], f"no factor {name!r} in {self.kind}: {self.names}")
            values[:, _COLUMN[self.kind][name]] = value
        return Group(self.kind, values)

    def index(self, rows: Rows) -> "Group":
        return Group(self.kind, self.values[rows])

    def repeat(self, times: int) -> "Group":
        """Every row `times` times in a row."""
        return Group(self.kind, self.values.repeat_interleave(times, 0))

    def to(self, device: torch.device | str) -> "Group":
        return Group(self.kind, self.values.to(device))

    @staticmethod
    def cat(groups: Sequence["Group"]) -> "Group":
        return Group(groups[0].kind, torch.cat([g.values for g in groups]))


@dataclass(frozen=True)
class Factors:
    """All factors of a batch of pictures."""

    identity: Group
    motion: Group
    scene: Group

    def __len__(self) -> int:
        return len(self.identity)

    def index(self, rows: Rows) -> "Factors":
        return Factors(*(g.index(rows) for g in self.groups))

    def to(self, device: torch.device | str) -> "Factors":
        return Factors(*(g.to(device) for g in self.groups))

    @property
    def groups(self) -> tuple[Group, Group, Group]:
        return self.identity, self.motion, self.scene

    @property
    def columns(self) -> dict[str, Tensor]:
        """Every factor by name, identity first."""
        return {name: g[name] for g in self.groups for name in g.names}

    @staticmethod
    def cat(parts: Sequence["Factors"]) -> "Factors":
        return Factors(*(Group.cat(gs) for gs in zip(*(p.groups for p in parts), strict=True)))


def seeded(*numbers: int) -> Generator:
    """A CPU generator from any tuple of whole numbers, such as (seed, clip)."""
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ (number + 1)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
        mixed ^= mixed >> 29
    return Generator().manual_seed(mixed)


def _uniform(rng: Generator, n: int, low: float, high: float) -> Tensor:
    return torch.rand(n, generator=rng) * (high - low) + low


def _sometimes(rng: Generator, probability: float, values: Tensor) -> Tensor:
    """`values` with a probability, 0 otherwise."""
    return values * (torch.rand(len(values), generator=rng) < probability)


def _group(kind: str, drawn: dict[str, Tensor]) -> Group:
    columns = [drawn[f.name].clamp(f.low, f.high) for f in GROUPS[kind]]
    return Group(kind, torch.stack(columns, 1).float())


# How the hidden axes of a person pull single factors, so that attributes go together.
_BUILD = {  # -1 soft, +1 strong
    "jaw_width": 0.4, "jaw_corner": 0.6, "brow_thickness": 0.6, "brow_ridge": 0.6,
    "upper_lip": -0.4, "lower_lip": -0.35, "eye_size": -0.5, "eye_opening": -0.3,
    "nose_length": 0.3, "nose_width": 0.3, "nose_forward": 0.25, "chin_width": 0.5,
    "chin_length": 0.35, "neck_width": 0.7, "brow_height": -0.45, "brow_arch": -0.4,
    "lip_red": -0.6, "head_width": 0.2, "head_length": 0.25,
}  # fmt: skip
_ORIGIN = {
    "nose_width": 0.6, "upper_lip": 0.6, "lower_lip": 0.6, "eye_slant": -0.3, "nose_bridge": 0.3,
    "skin_tone": 0.5, "nose_forward": -0.5, "hair_tone": -0.7,
}  # fmt: skip
_MASS = {"weight": 0.9, "cheek_fat": 0.8, "chin_length": -0.2, "head_width": 0.3, "neck_width": 0.5}
# Weight of each hair style for the softest and for the strongest build.
_HAIR_SOFT = (0.2, 0.4, 1.0, 1.0, 1.5, 4.0, 3.0, 3.0, 0.02, 0.3)
_HAIR_STRONG = (2.0, 2.0, 3.0, 3.0, 1.5, 0.5, 0.5, 0.3, 2.0, 1.0)


def draw_identity(n: int, rng: Generator) -> Group:
    """`n` random people; hidden axes (build, origin, mass, age) tie their factors together."""
    drawn = {}
    for factor in IDENTITY:
        if factor.unit == "spread":
            drawn[factor.name] = torch.randn(n, generator=rng) * 0.72
        else:
            drawn[factor.name] = _uniform(rng, n, -1, 1)
    build, origin = _uniform(rng, n, -1, 1), _uniform(rng, n, -1, 1)
    mass, age = torch.randn(n, generator=rng) * 0.7, _uniform(rng, n, 0, 1) ** 1.5
    for axis, pulls in ((build, _BUILD), (origin, _ORIGIN), (mass, _MASS)):
        for name, pull in pulls.items():
            drawn[name] = drawn[name] + pull * axis
    drawn["age"] = age
    grey = 0.7 + 0.3 * _uniform(rng, n, 0, 1)
    drawn["hair_grey"] = torch.where(age > 0.6, grey, drawn["hair_grey"].clamp(max=0.7))
    soft, strong = torch.tensor(_HAIR_SOFT), torch.tensor(_HAIR_STRONG)
    weights = soft + (strong - soft) * (build[:, None] + 1) / 2
    drawn["hair_style"] = torch.multinomial(weights, 1, generator=rng)[:, 0].float()
    beard = torch.randint(1, len(BEARD_STYLES), (n,), generator=rng).float()
    drawn["beard_style"] = _sometimes(rng, 0.5, beard) * (build > 0.05)
    frames = torch.randint(1, len(GLASSES), (n,), generator=rng).float()
    drawn["glasses"] = _sometimes(rng, 0.22, frames)
    return _group("identity", drawn)


def draw_motion(
    n: int, rng: Generator, yaw_deg: float = 45, pitch_deg: float = 20, roll_deg: float = 15
) -> Group:
    """`n` unrelated poses and expressions; the angles are uniform within +- the given limits."""
    u = lambda low, high: _uniform(rng, n, low, high)
    drawn = {
        "yaw_deg": u(-yaw_deg, yaw_deg),
        "pitch_deg": u(-pitch_deg, pitch_deg),
        "roll_deg": u(-roll_deg, roll_deg),
        "jaw": _sometimes(rng, 0.65, u(0, 1)),
        "smile": _sometimes(rng, 0.7, u(-0.7, 1)),
        "pucker": _sometimes(rng, 0.25, u(0, 1)),
        "brow": _sometimes(rng, 0.6, u(-0.6, 1)),
        "brow_tilt": _sometimes(rng, 0.2, u(-1, 1)),
        "frown": _sometimes(rng, 0.4, u(0, 1)),
        "gaze_x": u(-1, 1),
        "gaze_y": u(-0.8, 0.8),
    }
    both = _sometimes(rng, 0.3, u(0, 1))
    for side in ("blink_left", "blink_right"):
        drawn[side] = torch.maximum(both, _sometimes(rng, 0.08, u(0, 1)))
    return _group("motion", drawn)


def rest_motion(n: int) -> Group:
    """A calm face that looks straight into the camera."""
    return Group("motion", torch.zeros(n, len(MOTION)))


def draw_scene(n: int, rng: Generator, preset: str = "wild") -> Group:
    """`n` random scenes.

    Args:
        preset: 'studio': plain backgrounds, soft frontal light, head in the middle, for small
            generators; 'wild': patterned backgrounds, light from anywhere in front, moved cameras.
    """
    expect(preset in ("studio", "wild"), f"a scene is 'studio' or 'wild'; got {preset!r}")
    drawn = {factor.name: _uniform(rng, n, -1, 1) for factor in SCENE}
    azimuth, elevation = drawn["light_azimuth_deg"], drawn["light_elevation_deg"]
    if preset == "wild":
        # Harder side light, in less ambient light, hides half a face even from people.
        drawn["light_azimuth_deg"] = 45 * azimuth
        drawn["light_elevation_deg"] = 32.5 + 17.5 * elevation
        drawn["ambient"] = 0.4 + 0.6 * drawn["ambient"]
        drawn["light_strength"] = 0.2 + 0.8 * drawn["light_strength"]
        drawn["pattern_strength"] = 0.4 + 0.4 * drawn["pattern_strength"]
    else:
        drawn["light_azimuth_deg"], drawn["light_elevation_deg"] = 40 * azimuth, 30 + 15 * elevation
        drawn["pattern_strength"] = torch.zeros(n)
        for name in ("light_strength", "light_warmth", "ambient_tint", "background_saturation"):
            drawn[name] = 0.5 * drawn[name]
        for name in ("shift_x", "shift_y", "zoom"):
            drawn[name] = torch.zeros(n)
    return _group("scene", drawn)


def draw_factors(n: int, seed: int, preset: str = "wild", **limits: float) -> Factors:
    """`n` unrelated pictures; `limits` as in `draw_motion`."""
    return Factors(
        draw_identity(n, seeded(seed, 0)),
        draw_motion(n, seeded(seed, 1), **limits),
        draw_scene(n, seeded(seed, 2), preset),
    )


def sweep(one: Factors, name: str, steps: int = 7, low: float | None = None) -> Factors:
    """The same picture `steps` times while one factor runs through its range.

    Args:
        one: A single row.
        low: Where to start, if not at the low end; the sweep then ends at -low.
    """
    expect(len(one) == 1, f"a sweep starts from one picture; got {len(one)}")
    found = [f for factors in GROUPS.values() for f in factors if f.name == name]
    expect(found, f"there is no factor {name!r}")
    start, end = (found[0].low, found[0].high) if low is None else (low, -low)
    values = torch.linspace(start, end, steps)
    groups = [group.repeat(steps) for group in one.groups]
    return Factors(*(g.replace(**{name: values}) if name in g.names else g for g in groups))
