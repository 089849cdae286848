"""The instruments' own errors, on frames of people whom they have never seen."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image
from xfer.errors import expect
from xfer.instruments import FaceRecogniser, FactorReader
from xfer.metrics.recognition import auc, pair_scores, true_accept_rate
from xfer.training.world_frames import WorldFrames

BATCH = 128
LEFT_EYE, RIGHT_EYE = 36, 45
"""Outer corners, whose distance is the unit of landmark errors."""


@torch.no_grad()
def read(
    reader: Callable[[Image], tuple[Tensor, Tensor]], frames: WorldFrames
) -> tuple[Float[Tensor, "n factors"], Float[Tensor, "n 68 2"]]:
    """What the reader reads of every frame."""
    parts = [reader(frames.pictures(items)) for items in _batches(frames)]
    factors, landmarks = zip(*parts, strict=True)
    return torch.cat(factors), torch.cat(landmarks)


@torch.no_grad()
def embed(
    recogniser: Callable[[Image], Tensor], frames: WorldFrames
) -> Float[Tensor, "n embedding"]:
    """Every frame's embedding."""
    return torch.cat([recogniser(frames.pictures(items)) for items in _batches(frames)])


def reader_errors(
    reader: Callable[[Image], tuple[Tensor, Tensor]], names: Sequence[str], frames: WorldFrames
) -> dict[str, float]:
    """Mean absolute error and correlation of every factor, and the landmarks' mean distance.

    Angles in degrees, other factors in their own units, landmarks in distances of the eyes' outer
    corners.

    Args:
        names: The factors that the reader reads, in its order.
    """
    found, points = read(reader, frames)
    truth = frames.factors(list(names))
    errors = (found - truth).abs().mean(0)
    table = {f"{name}_error": float(e) for name, e in zip(names, errors, strict=True)}
    for i, name in enumerate(names):
        table[f"{name}_r"] = float(np.corrcoef(found[:, i], truth[:, i])[0, 1])
    true_points = frames.landmarks.unflatten(1, (68, 2))
    eyes = (true_points[:, RIGHT_EYE] - true_points[:, LEFT_EYE]).norm(dim=1)
    off = (points - true_points).norm(dim=2).mean(1)
    return table | {"landmark_error": float((off / eyes.mean()).mean())}


def recogniser_errors(
    recogniser: Callable[[Image], Tensor], frames: WorldFrames
) -> dict[str, float]:
    """How well it tells unseen people apart over all pairs of frames."""
    people = frames.table.person.to_numpy()
    expect(
        len(people) > len(set(people)) > 1,
        "telling people apart is measured on several people with several frames each",
    )
    same, different = pair_scores(embed(recogniser, frames).numpy(), people)
    return {
        "recogniser_auc": auc(same, different),
        "recogniser_true_accepts": true_accept_rate(same, different),
    }


def instrument_errors(
    reader: FactorReader, recogniser: FaceRecogniser, frames: WorldFrames
) -> dict[str, float]:
    """Both tables in one, rounded."""
    table = reader_errors(reader, reader.config.factors, frames)
    table |= recogniser_errors(recogniser, frames)
    return {name: round(value, 4) for name, value in table.items()} | {"frames": len(frames)}


def _batches(frames: WorldFrames) -> list[range]:
    return [range(i, min(i + BATCH, len(frames))) for i in range(0, len(frames), BATCH)]
