"""Who judges: networks that took no part in training, and dlib, which nobody here wrote.

On real faces ArcFace recognises people, and landmarks tell what they do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from xfer.axes import Image
from xfer.backbones import fit
from xfer.controls import LandmarkReader
from xfer.datasets.clips import Clips
from xfer.errors import BadFile
from xfer.faceworld.judge import Detectors, nose_between_ears
from xfer.instruments import NO_READER, load_instruments
from xfer.media.detectors import DETECTORS, Detector, open_detector
from xfer.media.landmarks import believable, read_main, search_quickly
from xfer.media.pictures import Pixels
from xfer.pixels import to_uint8

BATCH = 64
DLIB_SIZE = 256
"""Edge to which pictures are brought for detectors; dlib's sees no smaller faces."""
LANDMARKS_KNOWN_BY = "small"
"""The shipped weights whose reader of landmarks tells factors of real faces, too."""


@dataclass(frozen=True)
class Judge:
    """Reads factors and landmarks, and says how alike people and pictures are."""

    names: tuple[str, ...]
    """What is read, in this order."""
    read: Callable[[Image], tuple[Tensor, Tensor]]
    embed: Callable[[Image], Tensor]
    look: Callable[[Image], list[Tensor]] | None = None
    """Features of every layer, for the perceptual distance."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Its own errors, on frames of unseen people."""
    notes: tuple[str, ...] = ()
    """What else must stand beside its numbers."""


class Readings(NamedTuple):
    """What a judge finds in pictures."""

    factors: Float[np.ndarray, "n factors"]
    landmarks: Float[np.ndarray, "n 68 2"]
    embeddings: Float[np.ndarray, "n width"]


def open_judge(path: str | Path, clips: str | Path | None = None) -> Judge:
    """The judging copy of the instruments, or ArcFace and landmarks for prepared clips.

    Args:
        clips: The folder of prepared clips on which it judges, whose reader of landmarks it asks.

    Raises:
        BadFile: The file holds the loss copy, which would judge what it has trained, or none; or
            ArcFace, and there are no clips.
    """
    found = load_instruments(path, "judge", reader=False)
    recogniser, reader = found.recogniser, found.reader
    if reader is not None:
        return Judge(reader.config.factors, reader, recogniser, recogniser.layers, found.errors)
    if clips is None:
        raise BadFile(
            f"{path}: {NO_READER}; beside a reader of landmarks it judges prepared clips (--clips)"
        )
    points = PointsReader.of_clips(clips)
    by_arcface = (
        f"Identity, features and frechet by ArcFace ({Path(path).name}). A model that was trained "
        "with the same weights in its losses has learned to please them: its cosine, accepted and "
        "rank are flattered; --dlib asks a recogniser that trained nothing."
    )
    notes = (by_arcface, points.note)
    return Judge(points.names, points, recogniser, recogniser.layers, notes=notes)


@torch.no_grad()
def readings(judge: Judge, images: Image) -> Readings:
    """What the judge finds, in parts."""
    found = [(*judge.read(part), judge.embed(part)) for part in images.split(BATCH)]
    return Readings(*(torch.cat(rows).numpy() for rows in zip(*found, strict=True)))


@torch.no_grad()
def perceptual_distances(judge: Judge, drawn: Image, truth: Image) -> Float[np.ndarray, " batch"]:
    """How different pictures look to the judge's recogniser, one by one.

    As `losses.feature_distance`, of which the mean over pictures is taken there.
    """
    found = [
        torch.stack([_apart(a, b) for a, b in zip(judge.look(x), judge.look(y), strict=True)])
        for x, y in zip(drawn.split(BATCH), truth.split(BATCH), strict=True)
    ]
    return torch.cat(found, dim=1).mean(0).numpy()


def _apart(
    a: Float[Tensor, "batch channels height width"], b: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, " batch"]:
    a, b = (F.normalize(x, dim=1, eps=1e-8) for x in (a, b))
    return (a - b).square().sum(1).mean((1, 2))


class PointsReader:
    """Pose and expression from what a detector nobody here wrote finds in pictures.

    The detector gives 68 points, and `LandmarkReader`, which has learned from exact points of the
    face world, tells factors of them. Pictures in which no face is found are NaN.
    """

    def __init__(self, detector: Detector, reader: LandmarkReader):
        self._detector, self._reader, self.names = detector, reader, reader.names

    @classmethod
    def of_clips(cls, folder: str | Path) -> "PointsReader":
        """With the detector that prepared the clips; dlib where their points were known."""
        name = Clips(folder).settings.get("landmarks")
        detector = open_detector(name if name in DETECTORS else "dlib")
        return cls(detector, LandmarkReader.load(LANDMARKS_KNOWN_BY))

    @property
    def note(self) -> str:
        """What must stand beside its numbers."""
        known = zip(self.names, self._reader.correlation.tolist(), strict=True)
        return (
            f"Pose, expression and jitter by {self._detector.name}'s 68 points and a linear map to "
            "the face world's factors, whose correlation with the truth is there, on exact points: "
            + ", ".join(f"{name} {r:.2f}" for name, r in known)
            + "; what differs from the same reading of the driver counts as error, and pictures in "
            "which no face is found do not count (n in summary.csv)."
        )

    def __call__(
        self, images: Image
    ) -> tuple[Float[Tensor, "batch factors"], Float[Tensor, "batch 68 2"]]:
        points = torch.from_numpy(np.stack([self._find(picture[None]) for picture in images]))
        return self._reader(points), points

    def _find(self, picture: Image) -> Float[np.ndarray, "68 2"]:
        """The main face's points in the crop."""
        frame = _frame(picture)
        # No turned heads, nor small ones, are looked for: the face stands where alignment put it.
        boxes = believable(self._detector, frame, search_quickly(self._detector, frame))
        if not boxes:
            return np.full((68, 2), np.nan, np.float32)
        return _in_crop(read_main(self._detector, frame, boxes).points, frame).astype(np.float32)


def _frame(picture: Image) -> Pixels:
    """One picture as bytes, large enough for detectors."""
    edge = max(DLIB_SIZE, picture.shape[-1])
    return np.ascontiguousarray(to_uint8(fit(picture, edge))[0])


def _in_crop(points: Float[np.ndarray, "68 2"], frame: Pixels) -> Float[np.ndarray, "68 2"]:
    """Pixels to crop coordinates, whose edges are -1 and 1."""
    return (points + 0.5) / len(frame) * 2 - 1


class DlibFound(NamedTuple):
    """What dlib finds; rows without a face are NaN."""

    found: Bool[np.ndarray, " n"]
    landmarks: Float[np.ndarray, "n 68 2"]
    """In the crop, whose edges are -1 and 1."""
    turned: Float[np.ndarray, " n"]
    """Where the nose lies between the ends of the jaw line: grows with yaw."""
    codes: Float[np.ndarray, "n 128"]


class DlibJudge:
    """dlib's detector, its 68 points and its recogniser, on enlarged pictures."""

    def __init__(self) -> None:
        self._detectors = Detectors(compiled=False)

    def find(self, images: Image) -> DlibFound:
        """The largest face of every picture."""
        landmarks = np.full((len(images), 68, 2), np.nan)
        turned, codes = np.full(len(images), np.nan), np.full((len(images), 128), np.nan)
        for i, picture in enumerate(images):
            frame = _frame(picture[None])
            box = self._detectors.hog(frame)
            if box is None:
                continue
            shape = self._detectors.shape(frame, box)
            points = np.array([(p.x, p.y) for p in shape.parts()], float)
            landmarks[i] = _in_crop(points, frame)
            turned[i] = nose_between_ears(points)
            codes[i] = self._detectors.code(frame, shape)
        return DlibFound(~np.isnan(turned), landmarks, turned, codes)
