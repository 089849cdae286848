"""From an explorer's state to its image: a pure function over a pipeline, with caches."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.analysis import components
from xfer.control import Units
from xfer.errors import BadFile, BadValue, MissingPackage, NoFace
from xfer.face_reader import Face
from xfer.landmarker import FACTORS
from xfer.media.align import crop
from xfer.media.images import Pixels, Source, kind_of, read_image, to_array, write_image
from xfer.media.video import Frame, open_video
from xfer.pipeline import NEUTRAL_SECONDS, Identity, Motion, Neutral, TransferPipeline
from xfer.pipeline_inputs import parse_seed
from xfer.recognition import DlibRecogniser
from xfer.runs import read_json, write_json
from xfer.shapes import WPlus
from xfer.stylegan2.generator import z_from_seeds

PREVIEW, FULL = 256, 1024
"""Edges of images in pixels."""
N_COMPONENTS, N_SAMPLES = 10, 2000
"""Principal directions of W that are offered, and random w behind them."""
MOST_FRAMES = 300
"""Of a video, spread evenly, that can be chosen as drivers."""


@dataclass(frozen=True)
class State:
    """All that the controls say; without driver and moves it is exactly the identity's code."""

    identity: str = "random:1"  # random:SEED, a photo or a latent
    psi: float = 0.7  # truncation of random identities, 0 to 1
    mix: str = ""  # a second identity
    mix_share: float = 0.0  # how far towards it, 0 to 1
    mix_styles: tuple[int, int] = (0, 17)  # the first and the last style that is mixed
    driver: str = ""  # a photo or a video; none leaves the identity's own motion
    frame: int = 0  # of the video
    strength: float = 1.0  # of the driver's motion, 0 to 2
    relative: bool = False  # all motion is relative to the driver's neutral face
    factors: dict[str, float] = field(default_factory=dict, hash=False)  # moves in units, by name
    style_component: int = 0  # the principal component of W that single styles move along
    styles: dict[int, float] = field(default_factory=dict, hash=False)  # moves of rows of W+
    components: dict[int, float] = field(default_factory=dict, hash=False)  # moves of all rows

    def unmoved(self) -> "State":
        """The same identity, mixed, without driver and moves."""
        return State(self.identity, self.psi, self.mix, self.mix_share, self.mix_styles)

    @classmethod
    def open(cls, path: str | Path) -> "State":
        """Read a state that was saved under this name, be it its image's or its own."""
        path = Path(path).with_suffix(".json")
        values, defaults = read_json(path), asdict(cls())
        try:
            for name in ("styles", "components"):
                values[name] = {int(row): float(x) for row, x in values[name].items()}
            return cls(**{name: type(start)(values[name]) for name, start in defaults.items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            names = ", ".join(defaults)
            raise BadFile(f"{path} should hold a state of the explorer: {names}") from error


class Track(NamedTuple):
    """What a driver's frames tell, one row a frame."""

    motions: Float[Tensor, "n n_factors"]
    neutral: Motion  # the driver's neutral face
    crops: list[Pixels]  # the aligned faces, small
    step: int = 1  # frames of the video from one row to the next

    def row(self, frame: int) -> int:
        """Where a frame of the video stands."""
        return min(frame // self.step, len(self.crops) - 1)


class Explorer:
    """Renders states of one pipeline.

    Args:
        pipeline: With explicit control.
        progress: Is called with a sentence while something takes longer.
    """

    def __init__(self, pipeline: TransferPipeline, progress: Callable[[str], None] = print):
        if not pipeline.explicit:
            raise BadValue("the explorer's sliders require explicit control; open weights with it")
        self.pipeline, self.progress, self._lock = pipeline, progress, threading.Lock()
        self.track = lru_cache(maxsize=4)(self._track)
        self._open = lru_cache(maxsize=32)(self._open)
        self._own = lru_cache(maxsize=32)(self._own)
        self._calibrate = lru_cache(maxsize=32)(self._calibrate)
        self._code = lru_cache(maxsize=32)(lambda state: _judge().code(self.view(state)))

    def identity(self, state: State) -> tuple[WPlus, Any]:
        """The unmoved code of a state, and the prepared generator that renders it."""
        w_plus, generator = self._open(state.identity, state.psi)
        if state.mix and state.mix_share:
            rows = slice(state.mix_styles[0], state.mix_styles[1] + 1)
            other, _ = self._open(state.mix, state.psi)
            w_plus = w_plus.clone()
            w_plus[:, rows] = w_plus[:, rows].lerp(other[:, rows], state.mix_share)
        return w_plus, generator

    @torch.no_grad()
    def w_plus(self, state: State, driver: tuple[Motion, Motion] | None = None) -> WPlus:
        """The code that a state describes.

        Args:
            driver: Motion and neutral face of a camera, in place of the state's driver.
        """
        w_plus, pipeline = self.identity(state)[0].clone(), self.pipeline
        if unknown := state.factors.keys() - set(FACTORS):
            raise BadValue(f"factors are {', '.join(FACTORS)}; got {', '.join(sorted(unknown))}")
        units = torch.tensor([[float(state.factors.get(name, 0.0)) for name in FACTORS]])
        if driver is None and state.driver:
            track = self.track(state.driver)
            driver = track.motions[[track.row(state.frame)]], track.neutral
        if driver is not None and state.strength:
            motion, neutral = driver
            own = self._own(state.unmoved()).motion
            driven = pipeline.model.control.units(motion, own, neutral, state.relative)
            driven = state.strength * driven * pipeline.mask
            units = units + self._calibrate(state.identity, state.psi)(driven)
        if units.any():
            w_plus = pipeline.model.control.move(w_plus, units)
        for index, amount in state.components.items():
            w_plus += amount * self.directions[index]
        for row, amount in state.styles.items():
            w_plus[:, row] += amount * self.directions[state.style_component]
        return w_plus

    def view(
        self, state: State, size: int = FULL, driver: tuple[Motion, Motion] | None = None
    ) -> Pixels:
        """The image of a state: 256 px, fast enough to follow a slider, or in full."""
        w_plus, (_, generator) = self.w_plus(state, driver), self.identity(state)
        with self._lock:  # a prepared generator takes one request at a time
            if size == PREVIEW:
                return to_array(generator.preview(w_plus, PREVIEW))[0]
            return generator.frames(w_plus)[0]

    def read(self, image: Pixels) -> dict[str, float]:
        """Factors by name of a rendered face; none where no face is seen."""
        _, factors, score = self.pipeline.reader.landmarker.read_aligned(image)
        return dict(zip(FACTORS, factors.tolist(), strict=True)) if score > 0.5 else {}

    def distance(self, state: State, image: Pixels) -> float | None:
        """dlib's, from a state's image to its unmoved identity; None without dlib or a face."""
        with contextlib.suppress(MissingPackage, NoFace):
            return DlibRecogniser.distance(_judge().code(image), self._code(state.unmoved()))
        return None

    @cached_property
    def directions(self) -> Float[Tensor, "count w_dim"]:
        """Principal components of W, as long as its standard deviation along them (GANSpace)."""
        generator = self.pipeline.model.generator
        z = z_from_seeds(range(N_SAMPLES), generator.z_dim).to(generator.w_mean)
        return components(generator.mapping(z).detach(), N_COMPONENTS)

    def neutralised(self, state: State) -> State:
        """The state with no driver, head straight, mouth closed, and eyes to the camera."""
        own, control = self._own(state.unmoved()).motion, self.pipeline.model.control
        rest = [name in ("lids", "brow_up") for name in FACTORS]  # whose zero is no human's
        wanted = torch.where(torch.tensor(rest), own, 0.0)
        limit, units = control.config.limit, control.units(wanted, own, own)[0]
        moves = zip(FACTORS, units.clamp(-limit, limit).tolist(), strict=True)
        return replace(state, driver="", factors={name: round(x, 2) for name, x in moves if x})

    def save(self, state: State, path: str | Path) -> Path:
        """Write a state's full image, and the state beside it as JSON."""
        write_image(path, self.view(state), Source.GENERATED)
        write_json(Path(path).with_suffix(".json"), state)
        return Path(path)

    def _open(self, text: str, psi: float) -> tuple[WPlus, Any]:
        if (seed := parse_seed(text)) is not None:
            return self.pipeline.model.random_identity(seed, psi), self.pipeline.generator
        if psi:  # which changes nothing here
            return self._open(text, 0.0)
        self.progress(f"opening {text}; a photo's inversion takes a minute, once")
        with torch.enable_grad():  # inversion learns
            identity = self.pipeline.identity(text)
        return identity.w_plus, identity.generator

    def _own(self, state: State) -> Identity:
        w_plus, generator = self.identity(state)
        with self._lock:
            return self.pipeline.from_w_plus(w_plus, generator=generator)

    def _calibrate(self, text: str, psi: float) -> Callable[[Units], Units]:
        """Of an identity's motion by drivers; sliders are the control's own units."""
        own = self._own(State(text, psi))
        self.progress("reading how far this face moves, once for each identity")
        with self._lock:
            return self.pipeline.calibrated(own).calibration or (lambda units: units)

    def _track(self, path: str) -> Track:
        """Frames whose face is lost repeat the one before."""
        if (kind := kind_of(path)) == "image":
            face = self.pipeline.reader.main(image := read_image(path))
            motion, neutral = self.pipeline.motion(image, face), self.pipeline.still_neutral()
            return Track(motion, neutral, [crop(image, face.quad, 128)])
        if kind is None:
            raise BadFile(f"a driver is a photo or a video; {path} is neither")
        video, rows = open_video(path), list[tuple[Motion, Pixels] | None]()
        step = 1 + (video.n_frames or 0) // MOST_FRAMES
        for (image, _), face in self.pipeline.read(islice(video, 0, None, step)):
            rows.append(face and (self.pipeline.motion(image, face), crop(image, face.quad, 128)))
            if len(rows) % 10 == 0:
                self.progress(f"reading {path}: {len(rows) * step} of {video.n_frames} frames")
        if not any(rows):
            raise NoFace(f"a face is required in some frame of {path}; none was found")
        last = next(row for row in rows if row)
        motions, crops = zip(*(last := row or last for row in rows), strict=True)
        motions = torch.cat(motions)
        return Track(motions, motions.median(0, keepdim=True).values, list(crops), step)


class CameraDriver:
    """Follows the face before a camera; the first seconds give its neutral."""

    def __init__(self, pipeline: TransferPipeline):
        self._pipeline, self._frames = pipeline, deque()
        self._faces = self._track()
        self._neutral: Neutral | None = None

    def _track(self) -> Iterator[tuple[Frame, Face | None]]:
        return self._pipeline.read(iter(self._frames.popleft, None), live=True)

    def read(self, image: Pixels, time_s: float) -> tuple[Motion, Motion]:
        """Motion and neutral face of the next frame."""
        self._frames.append(Frame(image, time_s))
        try:
            _, face = next(self._faces)
        except Exception:
            self._faces = self._track()  # one that has raised gives nothing more
            raise
        if face is None:
            raise NoFace("a face before the camera is required; none is found")
        motion = self._pipeline.motion(image, face)
        self._neutral = self._neutral or Neutral(until_s=time_s + NEUTRAL_SECONDS)
        self._neutral.add(motion, time_s)
        return motion, self._neutral.value


_judge = cache(DlibRecogniser)
