"""From an explorer's state to its image: a pure function over a pipeline, with caches."""

from collections.abc import Hashable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.analysis.latent_directions import components
from xfer.errors import BadFile, BadValue, NoFace
from xfer.landmarker import FACTORS
from xfer.media.images import Pixels, kind_of, read_image, to_array, write_image
from xfer.media.provenance import Source
from xfer.media.video import open_video
from xfer.pipeline import Identity, TransferPipeline
from xfer.runs import read_json, write_json
from xfer.shapes import WPlus
from xfer.stylegan2.generator import z_from_seeds

COMPONENTS = 10
"""Principal directions of W that are offered."""
SAMPLES = 2000
"""Random w behind them."""
LONGEST = 300
"""Frames of a video that are read for its slider."""


@dataclass(frozen=True)
class State:
    """All that the controls say. Zero everywhere shows exactly the identity's inversion."""

    identity: str = "random:1"
    """random:SEED, a photo or a latent."""
    psi: float = 0.7
    """Truncation of random identities, 0 to 1."""
    mix: str = ""
    """A second identity."""
    mix_share: float = 0.0
    """How far towards it, 0 to 1, in the styles from `mix_from` to `mix_to`."""
    mix_from: int = 0
    mix_to: int = 15
    driver: str = ""
    """A photo or a video; none leaves the identity's own motion."""
    frame: int = 0
    """Of the video."""
    strength: float = 1.0
    """Of the driver's motion, 0 to 2."""
    relative: bool = False
    """Pose too is relative to the driver's neutral."""
    factors: dict[str, float] = field(default_factory=dict)
    """Moves by name, in units of the factors."""
    styles: dict[int, float] = field(default_factory=dict)
    """Moves of single styles (rows of W+) along the component `style_component`, by row."""
    style_component: int = 0
    components: dict[int, float] = field(default_factory=dict)
    """Moves of all styles along principal components of W, in standard deviations."""

    def save(self, path: str | Path) -> Path:
        """Write the state as JSON."""
        return write_json(path, asdict(self))

    @classmethod
    def open(cls, path: str | Path) -> "State":
        """Read a state; `BadFile` where it is none."""
        values = read_json(path)
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or values.keys() - known:
            raise BadFile(f"{path} should hold a state of the explorer: {', '.join(sorted(known))}")
        for name in ("styles", "components"):
            values[name] = {int(k): float(v) for k, v in values.get(name, {}).items()}
        return cls(**values)


class Shown(NamedTuple):
    """An image and what is read in it."""

    image: Pixels
    w_plus: WPlus
    readings: dict[str, float]
    """Factors by name, and the distance to the identity's own image where dlib is installed."""


class Explorer:
    """Renders states of one pipeline.

    Args:
        pipeline: With explicit control.
    """

    def __init__(self, pipeline: TransferPipeline):
        if not pipeline.explicit:
            raise BadValue("the explorer's sliders require explicit control; open weights with it")
        self.pipeline = pipeline
        self._identity = lru_cache(maxsize=16)(self._open_identity)
        self._code = lru_cache(maxsize=16)(self._read_code)
        self.track = lru_cache(maxsize=4)(self._read_track)
        self._directions: Float[Tensor, "count w_dim"] | None = None
        self._recogniser: Any = None

    def identity(self, state: State) -> Identity:
        """The state's identity, opened once."""
        return self._identity(state.identity, state.psi)

    @torch.no_grad()
    def w_plus(self, state: State) -> WPlus:
        """The code that a state describes."""
        identity = self.identity(state)
        start = identity.w_plus
        if state.mix and state.mix_share:
            rows, other = (
                slice(state.mix_from, state.mix_to + 1),
                self._identity(state.mix, state.psi),
            )
            start = start.clone()
            start[:, rows] = start[:, rows].lerp(other.w_plus[:, rows], state.mix_share)
        units = self._units(state, identity)
        moved = start if not units.any() else self.pipeline.model.control.move(start, units)
        if any(state.components.values()) or any(state.styles.values()):
            moved = moved.clone()
            for index, amount in state.components.items():
                moved += amount * self.directions[index]
            for row, amount in state.styles.items():
                moved[:, row] += amount * self.directions[state.style_component]
        return moved

    @torch.no_grad()
    def view(self, state: State, size: int = 1024, read: bool = True) -> Shown:
        """The image of a state.

        Args:
            size: 256 is the preview, fast enough to follow a slider; else the full image.
            read: Also read pose and expression, and at full size the identity.
        """
        identity, w_plus = self.identity(state), self.w_plus(state)
        if size == 256:
            image = _pixels(identity.generator.preview(w_plus))
        else:
            image = identity.generator.frames(w_plus)[0]
        return Shown(image, w_plus, self._readings(state, image) if read else {})

    @property
    def directions(self) -> Float[Tensor, "count w_dim"]:
        """Principal components of W, as long as its standard deviation along them (GANSpace)."""
        if self._directions is None:
            generator = self.pipeline.model.generator
            z = z_from_seeds(range(SAMPLES), generator.z_dim).to(generator.w_mean)
            with torch.no_grad():
                self._directions = components(generator.mapping(z), COMPONENTS)
        return self._directions

    @torch.no_grad()
    def live(self, motion: Tensor, neutral: Tensor, state: State) -> Pixels:
        """A camera's motion on the state's identity, as a preview."""
        control, identity = self.pipeline.model.control, self.identity(state)
        units = control.units(motion, identity.motion, neutral, state.relative)
        w_plus = control.move(identity.w_plus, state.strength * units)
        return _pixels(identity.generator.preview(w_plus))

    def neutralised(self, state: State) -> State:
        """The state with no driver, head straight, and the expression of the mean face."""
        own = self.identity(state).motion
        straight = self.pipeline.still_neutral().clone()
        straight[:, :2] = 0.0
        units = self.pipeline.model.control.units(straight, own, own)[0]
        moves = {name: round(float(x), 2) for name, x in zip(FACTORS, units, strict=True)}
        return replace(state, driver="", factors=moves)

    def save(self, state: State, path: str | Path) -> Path:
        """Write a state's full image, and the state beside it as JSON."""
        path = Path(path)
        write_image(path, self.view(state, read=False).image, Source.GENERATED)
        return state.save(path.with_suffix(".json"))

    def _units(self, state: State, identity: Identity) -> Float[Tensor, "1 n_factors"]:
        if unknown := state.factors.keys() - set(FACTORS):
            raise BadValue(f"factors are {', '.join(FACTORS)}; got {', '.join(sorted(unknown))}")
        own = torch.tensor([[float(state.factors.get(name, 0.0)) for name in FACTORS]])
        if not state.driver or not state.strength:
            return own
        motions, neutral = self.track(state.driver)
        motion = motions[min(state.frame, len(motions) - 1)][None]
        control = self.pipeline.model.control
        units = control.units(motion, identity.motion, neutral, state.relative)
        return own + state.strength * units

    def _open_identity(self, text: str, psi: float) -> Identity:
        pipeline = self.pipeline
        before, pipeline.options = pipeline.options, replace(pipeline.options, psi=psi)
        try:
            return pipeline.identity(text)
        finally:
            pipeline.options = before

    def _read_track(self, path: str) -> tuple[Float[Tensor, "n n_factors"], Tensor]:
        """Motions of a driver's frames (lost faces repeat the last one), and its neutral."""
        reader, motions = self.pipeline.reader, []
        kind = kind_of(path)
        if kind == "image":
            image = read_image(path)
            motion = self.pipeline.motion(image, reader.main(image))
            return motion, self.pipeline.still_neutral()
        if kind is None:
            raise BadFile(f"a driver is a photo or a video; {path} is neither")
        frames = (frame for frame, _ in zip(open_video(path), range(LONGEST), strict=False))
        for face in reader.track(frames):
            if face is not None:
                motions.append(torch.as_tensor(face.factors).float())
            elif motions:
                motions.append(motions[-1])
        if not motions:
            raise NoFace(f"a face is required in some frame of {path}; none was found")
        stacked = torch.stack(motions)
        return stacked, stacked.median(0, keepdim=True).values

    def _readings(self, state: State, image: Pixels) -> dict[str, float]:
        faces = self.pipeline.reader.read(image)
        if not faces:
            return {}
        found = dict(zip(FACTORS, map(float, faces[0].factors), strict=True))
        if image.shape[0] > 256 and (apart := self._distance(state, image)) is not None:
            found["identity_distance"] = apart
        return found

    def _distance(self, state: State, image: Pixels) -> float | None:
        """dlib's distance between the image and the identity's own; None without dlib."""
        try:
            if self._recogniser is None:
                from xfer.recognition import DlibRecogniser

                self._recogniser = DlibRecogniser()
            return float(np.linalg.norm(self._recogniser.code(image) - self._code(*_person(state))))
        except (ImportError, NoFace):
            return None

    def _read_code(self, text: str, psi: float) -> Float[np.ndarray, " 128"]:
        identity = self._identity(text, psi)
        return self._recogniser.code(identity.generator.frames(identity.w_plus)[0])


def _person(state: State) -> tuple[Hashable, ...]:
    return state.identity, state.psi


def _pixels(image: Float[Tensor, "1 3 size size"]) -> Pixels:
    return to_array(image)[0]
