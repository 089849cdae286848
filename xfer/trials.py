"""Trials: a driver's frames on an identity by a method, read by two judges, measured.

The first judge is the face reader, which also trained the control; the second is dlib, which
trained nothing: it sees yaw, lip gap and lids by its own 68 points, and the person by its code.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from xfer.data.synthesize import UNITS, sample_motion
from xfer.detectors import Dlib, face_box
from xfer.errors import BadValue, NoFace
from xfer.face_reader import FaceReader
from xfer.inversion import resized
from xfer.landmarker import FACTORS
from xfer.media.align import crop
from xfer.media.images import Pixels, kind_of, to_array, to_tensor
from xfer.media.video import open_video
from xfer.metrics import correlation, measure, metric, slope
from xfer.perceptual import PerceptualFeatures
from xfer.pipeline import Identity, TransferPipeline
from xfer.pipeline_inputs import parse_seed
from xfer.recognition import DlibRecogniser
from xfer.shapes import WPlus

Frames = UInt8[np.ndarray, "n height width 3"]
Factors = Float[np.ndarray, "n n_factors"]
Codes = Float[np.ndarray, "n 128"]
Images = Float[np.ndarray, "n 3 rows columns"]

FACE = (slice(55, 243), slice(32, 220))
"""Rows and columns of the face in aligned images of 256 px, where images are compared."""
IS_POSE = np.array([name in ("yaw", "pitch") for name in FACTORS])
"""Factors in degrees, compared as they are; others are relative to their median, in units."""
MOVES = {"yaw": 5.0, "pitch": 2.0}
"""Standard deviation from which a driver's motion is to be followed, in degrees, and 0.2 units of
other factors: below it, correlations are noise."""
SECOND = ("yaw", "lip_gap", "lids")
"""Factors that dlib's points show too."""


class Observation(NamedTuple):
    """What both judges see, frame by frame; NaN where there is no face."""

    factors: Factors
    roll_deg: Float[np.ndarray, " n"]
    second: Float[np.ndarray, "n 3"]
    """Yaw, lip gap and lids by dlib's points, in units of its own."""
    codes: Codes
    """dlib's, of the person."""

    def rows(self, which: Bool[np.ndarray, " n"]) -> "Observation":
        return Observation(*(column[which] for column in self))


class Subject(NamedTuple):
    """An identity, and what judges see of it at rest, a row each."""

    identity: Identity
    still: Observation
    """Of its image as generated."""
    portrait: Codes
    """Of the photo, or of that same image."""


class DriverVideo(NamedTuple):
    """Frames of a driver, aligned; of a generated one also what moved whom."""

    name: str
    frames: Frames
    seen: Observation
    units: Float[Tensor, "n n_factors"] | None = None
    w_plus: WPlus | None = None
    actor: Subject | None = None


class Judges:
    """Both judges of aligned frames."""

    def __init__(self, reader: FaceReader | None = None):
        self.reader = reader or FaceReader()
        self._dlib, self._recogniser = Dlib(), DlibRecogniser()

    def __call__(self, frames: Frames) -> Observation:
        rows = [
            (*self._read(frame, small), self._code(small))
            for frame, small in zip(frames, at_256(frames), strict=True)
        ]
        return Observation(*(np.array(column, np.float64) for column in zip(*rows, strict=True)))

    def _read(self, frame: Pixels, small: Pixels) -> tuple:
        points, factors, score = self.reader.landmarker.read_aligned(small)
        if score < 0.5:
            return np.full(len(FACTORS), np.nan), np.nan, np.full(3, np.nan)
        roll_deg = self.reader.landmarker.pose(points, 256, 256)[2]
        box = face_box(points * len(frame) / 256)
        points68 = np.array(self._dlib.points(frame, *box), np.float64)
        return factors, roll_deg, second_factors(points68)

    def _code(self, image: Pixels) -> Float[np.ndarray, " 128"]:
        try:
            return self._recogniser.code(image).astype(np.float64)
        except NoFace:
            return np.full(128, np.nan)

    def subject(self, identity: Identity, size: int = 512) -> Subject:
        """An identity at rest; `size` as in `render`."""
        still = self(render(identity, identity.w_plus, size))
        if identity.photo is None:
            return Subject(identity, still, still.codes)
        return Subject(identity, still, self._code(at_256(identity.portrait[None])[0])[None])


def second_factors(p: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, " 3"]:
    """Offset of the nose's tip between the cheeks, lip gap over the distance of the eyes, and
    height over width of the eyes: no degrees, but they grow with yaw, lip gap and lids."""
    far = lambda a, b: np.linalg.norm(p[a] - p[b])
    across, eyes = p[16] - p[0], np.linalg.norm(p[36:42].mean(0) - p[42:48].mean(0))
    yaw = 2 * ((p[30] - (p[0] + p[16]) / 2) @ across) / (across @ across)
    lids = [(far(a + 1, a + 5) + far(a + 2, a + 4)) / 2 / far(a, a + 3) for a in (36, 42)]
    return np.array([yaw, far(62, 66) / eyes, np.mean(lids)], np.float64)


def read_driver(path: str, judges: Judges, n_frames: int = 24) -> DriverVideo:
    """Evenly spaced frames of a video, aligned and read."""
    if kind_of(path) != "video":
        raise BadValue(f"a driver to evaluate is a video or random:SEED; got {path}")
    faces = list(judges.reader.track(open_video(path)))
    usable = [i for i, face in enumerate(faces) if face is not None]
    if not usable:
        raise NoFace(f"{path}: a driver shows a face; none was found in {len(faces)} frames")
    chosen = {usable[i] for i in np.linspace(0, len(usable) - 1, n_frames).astype(int)}
    pairs = enumerate(zip(open_video(path), faces, strict=True))
    frames = np.stack([crop(f.image, face.quad, 512) for i, (f, face) in pairs if i in chosen])
    seen = judges(frames)
    found = np.isfinite(seen.roll_deg)
    return DriverVideo(path, frames[found], seen.rows(found))


@torch.no_grad()
def generate_driver(
    text: str,
    pipeline: TransferPipeline,
    judges: Judges,
    readings: Float[Tensor, "people n_factors"],
    n_frames: int = 24,
    size: int = 512,
    fps: float = 2.0,
) -> DriverVideo:
    """Somebody who does not exist, moving by what was read of others.

    Args:
        text: random:SEED, of the person and of the motion.
        readings: Factors of those whose motions are taken.
        size: As in `render`.
        fps: A low one shows more motion in as many frames.
    """
    if pipeline.model.control is None:
        raise BadValue(f"driver {text} requires weights with a control; give a video instead")
    actor = judges.subject(pipeline.identity(text), size)
    rng, own = np.random.default_rng(parse_seed(text)), actor.still.factors[0]
    units = torch.from_numpy(sample_motion(readings.numpy(), own, n_frames, fps, rng))
    w_plus = pipeline.model.control.move(actor.identity.w_plus, units.to(actor.identity.w_plus))
    frames = render(actor.identity, w_plus, size)
    return DriverVideo(text, frames, judges(frames), units, w_plus, actor)


@torch.no_grad()
def true_frames(
    driver: DriverVideo, subject: Subject, pipeline: TransferPipeline, size: int = 512
) -> Frames:
    """The subject moved by the very units of a generated driver: what a transfer should show.

    The control makes it, so explicit motion is measured against itself here: what differs is what
    reading the driver costs.
    """
    if driver.units is None:
        raise BadValue(f"true frames exist for drivers random:SEED only; got {driver.name}")
    turned = IS_POSE * (driver.actor.still.factors - subject.still.factors) / UNITS
    units = driver.units + torch.from_numpy(turned).float()
    code = subject.identity.w_plus
    w_plus = pipeline.model.control.move(code, units.to(code))
    return render(subject.identity, w_plus, size)


def render(identity: Identity, w_plus: WPlus, size: int = 512) -> Frames:
    """Frames of codes: of whole images brought down, or at 256 px the generator's previews."""
    generator, codes = identity.generator, w_plus.split(1)
    if size == 256:
        return np.concatenate([to_array(generator.preview(row, 256)) for row in codes])
    return to_array(resized(to_tensor(np.stack(list(generator.stream(codes)))), size))


def at_256(frames: Frames) -> UInt8[np.ndarray, "n 256 256 3"]:
    """Frames brought down, for all who need no more."""
    return to_array(resized(to_tensor(frames), 256))


def face_images(frames: Frames) -> Images:
    """The face in frames, as metrics compare it."""
    return to_tensor(at_256(frames))[:, :, *FACE].numpy()


def measure_trial(
    driver: Observation, result: Observation, subject: Subject, **images: Images
) -> dict[str, float | None]:
    """All figures of a trial; None where one has no meaning.

    found: Share of frames in which the reader finds a face; all else is of those frames.
    X_r, X_slope, X_error: Of a factor as the reader sees it, on what it sees in the driver; errors
        are mean distances, in degrees for pose, else in units. r and slope only where the driver
        moves, see `MOVES`; without a factor's name, their mean.
    dlib_X_r, dlib_X_slope, dlib_X_ceiling: The same by dlib, and dlib's r on the reader's own
        readings of the driver, which it cannot be expected to pass.
    still_distance: dlib's, to the identity as generated, not to its photo.
    Then every metric registered in `xfer.metrics` whose arguments are known.

    Args:
        images: output, identity, and truth where it is known.
    """
    good = np.isfinite(result.roll_deg)
    numbers: dict[str, float | None] = {"found": float(good.mean())}
    if not good.any():
        return numbers
    result, driver = result.rows(good), driver.rows(good)
    a, b = relative(result.factors), relative(driver.factors)
    moves = {name for x, name in zip(b.T, FACTORS, strict=True) if x.std() >= MOVES.get(name, 0.2)}
    for i, name in enumerate(FACTORS):
        follows = correlation(a[:, i], b[:, i]), slope(a[:, i], b[:, i])
        numbers[f"{name}_r"], numbers[f"{name}_slope"] = follows if name in moves else (None, None)
        numbers[f"{name}_error"] = float(np.abs(a - b)[:, i].mean())
    for kind in ("r", "slope") if moves else ():
        numbers[kind] = float(np.mean([numbers[f"{name}_{kind}"] for name in moves]))
    for i, name in enumerate(SECOND):
        x, y, own = result.second[:, i], driver.second[:, i], driver.factors[:, FACTORS.index(name)]
        values = {"r": correlation(x, y), "slope": slope(x, y), "ceiling": correlation(y, own)}
        numbers |= {f"dlib_{name}_{k}": v if name in moves else None for k, v in values.items()}
    apart = np.linalg.norm(result.codes - subject.still.codes, axis=1)
    known = {name: x[good] for name, x in images.items()} | {
        "output_factors": a[:, ~IS_POSE],
        "driver_factors": b[:, ~IS_POSE],
        "output_pose_deg": np.c_[result.factors[:, IS_POSE], result.roll_deg],
        "driver_pose_deg": np.c_[driver.factors[:, IS_POSE], driver.roll_deg],
        "output_codes": result.codes,
        "driver_codes": driver.codes,
        "identity_codes": subject.portrait.repeat(len(a), axis=0),
    }
    measured = {name: float(np.mean(value)) for name, value in measure(**known).items()}
    return numbers | {"still_distance": float(apart.mean())} | measured


def relative(factors: Factors) -> Factors:
    """Pose in degrees; others less the video's median, in units."""
    return np.where(IS_POSE, factors, (factors - np.median(factors, axis=0)) / UNITS)


@metric("accepted", better="higher")
def accepted(output_codes: Codes, identity_codes: Codes) -> Bool[np.ndarray, " n"]:
    """Whether dlib takes both for one person."""
    return np.linalg.norm(output_codes - identity_codes, axis=1) < DlibRecogniser.THRESHOLD


@metric("spread", better="lower")
def spread(output_codes: Codes, driver_codes: Codes) -> float:
    """Mean distance between a video's own frames, over that between the driver's."""
    apart = lambda codes: np.linalg.norm(codes[:, None] - codes[None], axis=2).mean()
    return float(apart(output_codes) / max(apart(driver_codes), 1e-9))


@metric("perceptual", better="lower")
def perceptual(output: Images, truth: Images) -> Float[np.ndarray, " n"]:
    """Distance of EfficientNet's features, see `xfer.perceptual`."""
    pair = (torch.from_numpy(images).float() for images in (output, truth))
    with torch.inference_mode():
        return _features().distance(*pair).numpy()


_features = lru_cache(maxsize=1)(PerceptualFeatures)
