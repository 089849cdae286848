"""The codes of pictures of which everything is known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xfer.axes import Image, WPlus
from xfer.disentangle.factors import MOTION
from xfer.errors import expect
from xfer.model import Transfer

BATCH = 32


@dataclass(frozen=True)
class Codes:
    """Codes row by row of one set of pictures; row i's driver is row `driver[i]`."""

    h: Float[Tensor, "n bottleneck"]
    """The motion encoder's bottleneck."""
    motion: WPlus
    """Motion codes: an affine image of h."""
    identity: WPlus
    """Identity codes: the pictures inverted, whatever they show."""
    result: WPlus
    """What the mapper writes for each identity and its driver, who is somebody else."""
    style: Float[Tensor, "n channels"]
    """The results' gains of all layers: style space."""
    driver: Int[np.ndarray, " n"]

    def flat(self) -> dict[str, Float[np.ndarray, "n _"]]:
        """All of them as rows of numbers, by name."""
        known = {
            "bottleneck h": self.h,
            "motion code": self.motion.flatten(1),
            "identity code": self.identity.flatten(1),
            "result in W+": self.result.flatten(1),
            "result in S": self.style,
        }
        return {name: code.double().cpu().numpy() for name, code in known.items()}


@torch.no_grad()
def codes_of(model: Transfer, images: Image, people: Int[np.ndarray, " n"], seed: int = 0) -> Codes:
    """All codes of pictures, each driven by another picture that shows somebody else.

    Args:
        people: Who each picture shows.
    """
    driver = strangers(people, seed)
    place = model.generator.w_mean.device
    parts = [part.to(place) for part in images.split(BATCH)]
    h = torch.cat([model.motion_encoder.bottleneck(part) for part in parts])
    identity = torch.cat([model.identify(part) for part in parts])
    result = torch.cat(
        [
            model.latents(h[rows], model.person(own))
            for rows, own in zip(
                torch.from_numpy(driver).split(BATCH), identity.split(BATCH), strict=True
            )
        ]
    )
    style = torch.cat(
        [torch.cat(model.generator.styles(part), dim=1) for part in result.split(BATCH)]
    )
    return Codes(h, model.motion_encoder.code(h), identity, result, style, driver)


def strangers(people: Int[np.ndarray, " n"], seed: int = 0) -> Int[np.ndarray, " n"]:
    """For each row another row of somebody else; every row is taken once."""
    names, counts = np.unique(people, return_counts=True)
    expect(
        len(names) >= 2 and counts.max() <= len(people) / 2,
        f"nobody may be in more than half of the pictures; got {counts.max()} of {len(people)}",
    )
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(people)), rng.permutation(len(names))[_index(people)]))
    # Rows in blocks, a block a person: half way round the circle stands nobody of the same block.
    driver = np.empty(len(people), int)
    driver[order] = np.roll(order, len(people) // 2)
    return driver


def labels_of_results(table: pd.DataFrame, driver: Int[np.ndarray, " n"]) -> pd.DataFrame:
    """What results should show: the drivers' motion on the identities in their scenes."""
    moved = table.iloc[driver].reset_index(drop=True)
    return table.reset_index(drop=True).assign(**{name: moved[name] for name in MOTION})


def _index(people: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.unique(people, return_inverse=True)[1]
