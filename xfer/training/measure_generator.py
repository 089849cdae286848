"""How well a generator draws, in the eyes of the judges: distance, fidelity, variety, memory.

The features are those of the judging recogniser, which no training ever sees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from torch import Tensor

from xfer.axes import Image
from xfer.errors import expect
from xfer.instruments import Instruments, set_features
from xfer.metrics.frechet import frechet_distance, precision_recall
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.training.frames import FrameArray
from xfer.training.world_frames import WorldFrames

BATCH = 128


def generator_quality(
    generator: Generator, judge: Instruments, frames: WorldFrames, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Fréchet distance, precision and recall of drawn pictures against rendered ones.

    Args:
        judge: The judging copy.
        frames: Rendered pictures; at least `count` of either half of their people.
        count: Pictures of each set; drawn without truncation from seeds on.
    """
    return picture_quality(draw(generator, range(seed, seed + count)), judge, frames)


def picture_quality(drawn: Image, judge: Instruments, frames: WorldFrames) -> dict[str, float]:
    """The same of pictures that are drawn already.

    The floor is the distance between two sets of rendered pictures, of as many each as are drawn
    and of different people: what a perfect generator would score, who draws other people, too. It
    would score a little less where people are so few that they are shown several times.

    Raises:
        BadValue: Half of the people have fewer rendered pictures than are drawn.
    """
    halves = halves_of_people(frames.table["person"].to_numpy(), len(drawn), frames.seed)
    layers = judge.recogniser.layers
    real, other = (set_features(layers, frames.pictures(items)) for items in halves)
    ours = set_features(layers, drawn)
    precision, recall = precision_recall(real, ours)
    return {
        "frechet": frechet_distance(real, ours),
        "frechet_floor": frechet_distance(real, other),
        "precision": precision,
        "recall": recall,
        "pictures": len(drawn),
    }


def halves_of_people(
    people: Int[np.ndarray, " n"], count: int, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Items of two sets of `count` pictures that show nobody in common.

    Nobody is shown again in a set before all of its people are.

    Args:
        people: Who each picture shows.
    """
    rng = np.random.default_rng(seed)
    items, found = rng.permutation(len(people)), []
    for half in np.array_split(rng.permutation(np.unique(people)), 2):
        own = items[np.isin(people[items], half)]
        turn = pd.Series(people[own]).groupby(people[own]).cumcount()
        found.append(own[np.argsort(turn, kind="stable")][:count].tolist())
    least = min(map(len, found))
    expect(
        least >= count,
        f"{2 * count} rendered pictures are needed, {count} of either half of the people; got "
        f"{len(people)} of {len(np.unique(people))} people, {least} of one half",
    )
    return found[0], found[1]


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
    layers = judge.recogniser.layers
    ours, theirs = set_features(layers, images), set_features(layers, frames.pictures(among))
    distances = cdist(ours, theirs)
    best = distances.argmin(1)
    return Nearest(np.asarray(among)[best], distances[np.arange(len(ours)), best])


def read_factors(judge: Instruments, images: Image) -> dict[str, Float[Tensor, " batch"]]:
    """What the judging reader reads of every factor in every picture."""
    with torch.no_grad():
        found = torch.cat([judge.reader(part)[0] for part in images.split(BATCH)])
    return dict(zip(judge.reader.config.factors, found.T, strict=True))
