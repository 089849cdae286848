"""How well a generator draws, in the eyes of the judges: distance, fidelity, variety, memory.

The features are those of the judging recogniser, which no training ever sees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from torch import Tensor

from xfer.axes import Image
from xfer.errors import expect
from xfer.instruments import Instruments
from xfer.metrics.frechet import frechet_distance, precision_recall
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.training.frames import FrameArray

BATCH = 128


@torch.no_grad()
def features(judge: Instruments, images: Image) -> Float[np.ndarray, "batch features"]:
    """Channel means of the judging recogniser's last stage."""
    parts = [judge.recogniser.backbone(part).mean((2, 3)) for part in images.split(BATCH)]
    return torch.cat(parts).numpy()


def generator_quality(
    generator: Generator, judge: Instruments, frames: FrameArray, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Fréchet distance, precision and recall of drawn pictures against rendered ones.

    Args:
        judge: The judging copy.
        frames: Rendered pictures; at least `2 * count`.
        count: Pictures of each set; drawn without truncation from seeds on.
    """
    return picture_quality(draw(generator, range(seed, seed + count)), judge, frames)


@torch.no_grad()
def picture_quality(drawn: Image, judge: Instruments, frames: FrameArray) -> dict[str, float]:
    """The same of pictures that are drawn already.

    The floor is the distance between two disjoint halves of the rendered pictures, of as many each
    as are drawn: what a perfect generator would score.

    Raises:
        BadValue: There are fewer rendered pictures than twice those drawn.
    """
    count = len(drawn)
    expect(len(frames) >= 2 * count, f"{2 * count} rendered pictures are needed; got {len(frames)}")
    real, other = (
        features(judge, frames.pictures(frames.items(range(start, start + count))))
        for start in (0, count)
    )
    ours = features(judge, drawn)
    precision, recall = precision_recall(real, ours)
    return {
        "frechet": frechet_distance(real, ours),
        "frechet_floor": frechet_distance(real, other),
        "precision": precision,
        "recall": recall,
        "pictures": count,
    }


class Nearest(NamedTuple):
    """For each drawn picture the most similar training frame."""

    items: Int[np.ndarray, " batch"]
    distances: Float[np.ndarray, " batch"]


def nearest_frames(
    images: Image, judge: Instruments, frames: FrameArray, among: Sequence[int]
) -> Nearest:
    """The training frames that drawn pictures resemble most: copies would show here.

    Args:
        among: Items of the frames to search.
    """
    ours = features(judge, images)
    theirs = features(judge, frames.pictures(among))
    distances = cdist(ours, theirs)
    best = distances.argmin(1)
    return Nearest(np.asarray(among)[best], distances[np.arange(len(ours)), best])


def read_factor(judge: Instruments, images: Image, name: str) -> Float[Tensor, " batch"]:
    """What the judging reader reads of one factor in every picture."""
    column = judge.reader.config.factors.index(name)
    with torch.no_grad():
        return torch.cat([judge.reader(part)[0][:, column] for part in images.split(BATCH)])
