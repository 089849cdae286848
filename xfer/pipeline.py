"""Driver to pixels: faces are read, their motion becomes W+, and the generator renders it."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.control import PARTS, Calibration, units_of
from xfer.devices import best_device
from xfer.errors import BadValue, NoFace
from xfer.face_reader import Face, FaceReader
from xfer.inversion import invert, refine, resized
from xfer.landmarker import FACTORS
from xfer.media.align import Quad, crop
from xfer.media.images import Pixels, read_image, to_array, to_tensor
from xfer.media.video import Frame, Video, prefetch
from xfer.model import Person, Transfer
from xfer.pipeline_inputs import TransferOptions, find_photos, is_latent, parse_seed, read_latent
from xfer.recognition import open_recogniser
from xfer.shapes import WPlus

Motion = Float[Tensor, "_ _"]
"""What a driver's face tells: its factors, or the motion encoder's bottleneck."""

NEUTRAL_READS = 48
"""Frames of a video, spread evenly, whose median is the driver's neutral face."""
NEUTRAL_SECONDS = 3.0
"""Of a camera, whose median is the driver's neutral face."""
FRAMES_QUEUED = 6
"""Frames that wait for the generator."""
PATIENCE = 250
"""Frames without any face after which a camera is given up."""


class Identity(NamedTuple):
    """A face to be driven, with all that does not change from frame to frame."""

    name: str
    w_plus: WPlus
    motion: Motion
    """Its own, as read from its generated image."""
    generator: Any
    """Prepared; tuned to the photo with `refine`."""
    portrait: Pixels
    """The aligned photo, or the generated image."""
    response: Person | None = None
    """For the learned way."""
    calibration: Calibration | None = None
    """For the explicit way: how far its own factors go."""
    photo: Pixels | None = None
    face: Face | None = None
    """In the photo."""


class Result(NamedTuple):
    """One image, and the driver's frame and face that it came from."""

    image: Pixels
    w_plus: WPlus
    frame: Frame | None = None
    face: Face | None = None
    """None for factors, and for frames without a face, which keep the last motion."""
    roll_deg: float = 0.0
    """Tilt of the driver's crop, clockwise; the last one where there is no face."""


class TransferPipeline:
    """Drivers in, images and videos of an identity with their motion out.

    Args:
        model: As loaded; the pipeline prepares its generator.
        reader: For drivers and photos; one may serve several pipelines.
    """

    def __init__(
        self,
        model: Transfer,
        options: TransferOptions | None = None,
        device: str = "auto",
        reader: FaceReader | None = None,
    ):
        if not isinstance(model, Transfer):
            found = type(model).__name__
            todo = "`xfer weights convert FILE --more GENERATOR` joins files"
            raise BadValue(f"a transfer needs a mapper or a control; got a {found} alone; {todo}")
        self.options = options or TransferOptions()
        self.model = model.to(best_device(device))
        self.size = self.options.size or model.generator.resolution
        self.generator = model.generator.prepare(self.size)
        encoders = [e for e in (model.motion_encoder, model.identity_encoder) if e is not None]
        self.edge = max([e.config.resolution for e in encoders], default=256)
        self.reader = reader or FaceReader(self.options.detector)
        self._still_neutral: Motion | None = None
        way = self.options.motion
        self.explicit = model.control is not None if way == "auto" else way == "explicit"
        if (model.control if self.explicit else model.mapper) is None:
            raise BadValue(f"these weights have no {'control' if self.explicit else 'mapper'}")
        if self.options.only and not self.explicit:
            raise BadValue("--only requires explicit motion")
        parts = self.options.only or ("pose", "expression")
        chosen = {factor for part in parts for factor in PARTS[part]}
        self.mask = torch.tensor([float(factor in chosen) for factor in FACTORS])

    # Identities ----------------------------------------------------------------------------

    def identity(self, *texts: str | Path) -> Identity:
        """One identity: `random:SEED`, a latent's file, or photos and folders of photos."""
        names = [str(text) for text in texts]
        seed = parse_seed(names[0])
        if seed is None and not is_latent(names[0]):
            return self._from_photos(names)
        if len(names) > 1:
            raise BadValue(f"{names[0]} is an identity by itself; several are photos of one person")
        generator = self.model.generator
        if seed is None:
            w_plus = read_latent(names[0], generator.n_styles, generator.w_dim)
        else:
            w_plus = self.model.random_identity(seed, self.options.psi)
        return self.calibrated(self.from_w_plus(w_plus, names[0]))

    @torch.no_grad()
    def from_w_plus(self, w_plus: WPlus, name: str = "latent", **photo: Any) -> Identity:
        w_plus = w_plus.to(self.model.generator.w_mean)
        generator = photo.pop("generator", self.generator)
        image = generator.synthesis(w_plus)
        photo.setdefault("portrait", to_array(image)[0])
        response = None if self.explicit else self.model.person(w_plus)
        return Identity(
            name, w_plus, self._own_motion(image), generator, response=response, **photo
        )

    def calibrated(self, identity: Identity) -> Identity:
        """The identity with its `Calibration`, where motion is explicit and options want it."""
        if not (self.explicit and self.options.calibrate):
            return identity
        preview = identity.generator.preview
        read = lambda codes: torch.cat(
            [self._own_motion(preview(code, 256)) for code in codes.split(1)]
        )
        calibration = Calibration.of(self.model.control, identity.w_plus, read)
        return identity._replace(calibration=calibration)

    def _from_photos(self, texts: Sequence[str]) -> Identity:
        paths = find_photos(texts)
        photos = [read_image(path) for path in paths]
        faces = [self.main_face(*pair) for pair in zip(photos, paths, strict=True)]
        crops = [crop(a, face.quad, 1024) for a, face in zip(photos, faces, strict=True)]
        image = to_tensor(np.stack(crops)).to(self.model.generator.w_mean.device)
        facts = {"portrait": crops[0], "photo": photos[0], "face": faces[0]}
        encoder = self.model.identity_encoder
        if encoder is None and self.options.steps == 0:
            raise BadValue("these weights have no identity encoder; take 1 step or more")
        start = None if encoder is None else self.model.identify(resized(image, self.edge))
        # The paper's mapper knows what its encoder finds and nothing else.
        as_found = self.options.steps == 0 or not self.model.asset
        if encoder is not None and as_found:
            w_plus = start.mean(0, keepdim=True)
            return self.calibrated(self.from_w_plus(w_plus, texts[0], **facts))
        generator, recogniser = self.model.generator, open_recogniser("auto", image.device)
        inversion = invert(image, generator, self.options.steps, recogniser, start=start)
        if self.options.refine:
            tuned = refine(inversion, image[:1], generator, self.options.refine, recogniser)
            facts["generator"] = tuned.prepare(self.size)
        return self.calibrated(self.from_w_plus(inversion.w_plus, texts[0], **facts))

    @torch.no_grad()
    def _own_motion(self, image: Float[Tensor, "1 3 _ _"]) -> Motion:
        """What an aligned image tells, such as a generated one; as `motion` of a driver's crop."""
        if not self.explicit:
            return self.model.motion_encoder.bottleneck(resized(image, self.edge))
        _, factors, _ = self.reader.landmarker.read_aligned(to_array(resized(image, 256))[0])
        return torch.from_numpy(factors)[None].to(self.model.generator.w_mean)

    def main_face(self, image: Pixels, name: str | Path, face: int | None = None) -> Face:
        """The main face of an image, or a refusal that names it."""
        try:
            return self.reader.main(image, face)
        except NoFace as error:
            raise NoFace(f"{name}: {error}") from None

    # Motion --------------------------------------------------------------------------------

    @torch.no_grad()
    def motion(self, image: Pixels, face: Face) -> Motion:
        if self.explicit:
            return torch.as_tensor(face.factors).float()[None]
        device = self.model.generator.w_mean.device
        aligned = to_tensor(crop(image, face.quad, self.edge)).to(device)
        return self.model.motion_encoder.bottleneck(aligned)

    @torch.no_grad()
    def move(
        self,
        identity: Identity,
        motion: Motion,
        neutral: Motion | None,
        strength: float | None = None,
    ) -> WPlus:
        """The identity's code with a motion; at strength 0 exactly its own.

        Args:
            neutral: The driver's own, which expression is relative to.
            strength: By default that of the options.
        """
        strength = self.options.strength if strength is None else strength
        own, relative = identity.motion, self.options.relative
        if self.explicit:
            units = self.model.control.units(motion, own, neutral, relative)
            return self.moved(identity, strength * units * self.mask)
        start = neutral if relative else own
        return identity.response.latents(own + strength * (motion - start))

    def moved(self, identity: Identity, units: Float[Tensor, "1 n_factors"]) -> WPlus:
        """The identity's code with explicit moves, in units of the factors."""
        units = units.to(identity.w_plus)
        if identity.calibration is not None:
            units = identity.calibration(units)
        return self.model.control.move(identity.w_plus, units)

    # Images --------------------------------------------------------------------------------

    def factors(self, values: dict[str, float], identity: Identity) -> Result:
        """The identity with some factors set: as `control.units_of` takes them."""
        if not self.explicit:
            raise BadValue("factors require explicit control, which these weights do not use")
        units = units_of(values, identity.motion)
        w_plus = self.moved(identity, self.options.strength * units * self.mask)
        return Result(self.render(identity, w_plus), w_plus)

    def image(self, image: Pixels, identity: Identity, name: str = "the image") -> Result:
        """The identity with the motion of the main face in one image."""
        face = self.main_face(image, name, self.options.face)
        w_plus = self.move(identity, self.motion(image, face), self.still_neutral())
        array = self.render(identity, w_plus)
        return Result(array, w_plus, Frame(image, 0.0), face, roll_deg(face.quad))

    def video(self, video: Video, identity: Identity, live: bool = False) -> Iterator[Result]:
        """The identity with the motion of every frame; reading and rendering overlap.

        Args:
            live: The video is a camera: it is read once, and nothing waits for later frames.
        """
        neutral = Neutral(until_s=NEUTRAL_SECONDS) if live else self._survey(video)
        patience = PATIENCE if live else math.inf
        frames = prefetch(self.read(video, live, patience), 1 if live else FRAMES_QUEUED)
        return self._render(frames, identity, neutral, live)

    def _render(
        self,
        frames: Iterator[tuple[Frame, Face | None]],
        identity: Identity,
        neutral: "Neutral",
        live: bool,
    ) -> Iterator[Result]:
        pending: deque[tuple[WPlus, Frame, Face | None, float]] = deque()

        def codes() -> Iterator[WPlus]:
            last, tilt = next(iter(neutral.motions), None), 0.0
            for frame, face in frames:
                if face is not None:
                    last, tilt = self.motion(frame.image, face), roll_deg(face.quad)
                    neutral.add(last, frame.time_s)
                if last is None:  # a camera before its first face
                    continue
                w_plus = self.move(identity, last, neutral.value)
                pending.append((w_plus, frame, face, tilt))
                yield w_plus

        try:
            for image in self._stream(identity, codes(), live):
                yield Result(image, *pending.popleft())
        finally:
            frames.close()

    def _stream(self, identity: Identity, codes: Iterator[WPlus], live: bool) -> Iterator[Pixels]:
        """An image a code; the small size of videos comes from the generator's preview."""
        if live and self.size == 256:  # at once: no frame waits for the next
            return (to_array(identity.generator.preview(code))[0] for code in codes)
        return identity.generator.stream(codes, preview=self.size == 256)

    def render(self, identity: Identity, w_plus: WPlus) -> Pixels:
        """The image of a code, by the identity's own generator."""
        return identity.generator.frames(w_plus)[0]

    def still_neutral(self) -> Motion:
        """The neutral of a driver of whom there is one image: that of the mean face."""
        if self._still_neutral is None:
            w_mean = self.model.generator.w_mean[None]
            self._still_neutral = self._own_motion(self.generator.synthesis(w_mean))
        return self._still_neutral

    def read(
        self, frames: Iterable[Frame], live: bool = False, patience: float = math.inf
    ) -> Iterator[tuple[Frame, Face | None]]:
        """Frames with their tracked face; the tracker may read ahead, to smooth without lag.

        Args:
            live: Smooth by the past only.
            patience: Frames without any face after which the rest is given up.
        """
        waiting: deque[Frame] = deque()
        passed = (waiting.append(frame) or frame for frame in frames)
        lost, smoothing_s = 0, self.options.smoothing_s
        for face in self.reader.track(passed, smoothing_s, self.options.face, live=live):
            lost = 0 if face else lost + 1
            if lost > patience:
                return
            yield waiting.popleft(), face

    def _survey(self, video: Video) -> "Neutral":
        """A first look through a video: its first face, and the median of frames spread evenly."""
        step = math.ceil((video.n_frames or 1) / NEUTRAL_READS) if self.explicit else 1
        for every in sorted({step, 1}, reverse=True):
            frames = self.read(islice(video, 0, None, every), live=True)
            motions = (self.motion(frame.image, face) for frame, face in frames if face)
            if known := list(motions if self.explicit and every == step else islice(motions, 1)):
                return Neutral(known)
        raise NoFace(f"a face is required in some frame of {video.path}; none was found")


class Neutral:
    """A driver's neutral face: the median of a survey, or of a camera's first seconds so far."""

    def __init__(self, motions: Iterable[Motion] = (), until_s: float = -1.0):
        self.motions, self.until_s = list(motions), until_s

    def add(self, motion: Motion, time_s: float) -> None:
        if time_s <= self.until_s or not self.motions:
            self.motions.append(motion)

    @property
    def value(self) -> Motion:
        return torch.cat(self.motions).median(0, keepdim=True).values


def roll_deg(quad: Quad) -> float:
    """Tilt of a square, clockwise on screen."""
    x, y = quad[3] - quad[0]
    return math.degrees(math.atan2(y, x))
