"""Who judges: networks that took no part in training, and dlib, which nobody here wrote."""

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
from xfer.faceworld.judge import Detectors, nose_between_ears
from xfer.instruments import load_instruments
from xfer.pixels import to_uint8

BATCH = 64
DLIB_SIZE = 256
"""Edge to which pictures are brought for dlib, whose detector sees no smaller faces."""


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


class Readings(NamedTuple):
    """What a judge finds in pictures."""

    factors: Float[np.ndarray, "n factors"]
    landmarks: Float[np.ndarray, "n 68 2"]
    embeddings: Float[np.ndarray, "n width"]


def open_judge(path: str | Path) -> Judge:
    """The judging copy of the instruments.

    Raises:
        BadFile: The file holds the loss copy, which would judge what it has trained, or none.
    """
    found = load_instruments(path, "judge")
    recogniser = found.recogniser
    look = lambda image: recogniser.backbone.stages(fit(image, recogniser.config.resolution))
    return Judge(found.reader.config.factors, found.reader, recogniser, look, found.errors)


@torch.no_grad()
def readings(judge: Judge, images: Image) -> Readings:
    """What the judge finds, in parts."""
    found = [(*judge.read(part), judge.embed(part)) for part in images.split(BATCH)]
    return Readings(*(torch.cat(rows).numpy() for rows in zip(*found, strict=True)))


@torch.no_grad()
def features(judge: Judge, images: Image) -> Float[np.ndarray, "batch features"]:
    """Channel means of the judging recogniser's last stage, in which sets of pictures are compared.

    The same as `training.measure_generator.features`.
    """
    return torch.cat([judge.look(x)[-1].mean((2, 3)) for x in images.split(BATCH)]).numpy()


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
        edge = max(DLIB_SIZE, images.shape[-1])
        for i, picture in enumerate(images):
            frame = np.ascontiguousarray(to_uint8(fit(picture[None], edge))[0])
            box = self._detectors.hog(frame)
            if box is None:
                continue
            shape = self._detectors.shape(frame, box)
            points = np.array([(p.x, p.y) for p in shape.parts()], float)
            landmarks[i] = (points + 0.5) / edge * 2 - 1
            turned[i] = nose_between_ears(points)
            codes[i] = self._detectors.code(frame, shape)
        return DlibFound(~np.isnan(turned), landmarks, turned, codes)
