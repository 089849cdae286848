"""Who drives whom: frames of people with their latents, drawn in pairs and strangers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from xfer.axes import Image, WPlus
from xfer.errors import expect
from xfer.training.frames import FrameArray
from xfer.training.randomness import rng


class Items(NamedTuple):
    """Frames of one step by number, one of each for every sample."""

    driver: list[int]
    identity: list[int]
    """Other frames of the drivers' people."""
    other: list[int]
    """Frames of other people."""


class Drawn(NamedTuple):
    """What one step sees."""

    driver: Image
    identity: WPlus
    """Latents of other frames of the drivers' people."""
    other: WPlus
    """Latents of other people."""
    other_frame: Image
    """The frames that those show."""
    driver_code: WPlus
    """Latents of the drivers' own frames; a rival's, no motion encoder sees them."""


class TransferClips:
    """Frames of people who are each seen several times, and a latent for each frame.

    Args:
        person: Whom each frame shows.
        latents: `frames styles w`, mapped from disk or in memory.
    """

    def __init__(self, frames: FrameArray, person: Sequence[int] | np.ndarray, latents: np.ndarray):
        person = np.asarray(person)
        expect(
            len(frames) == len(person) == len(latents) and latents.ndim == 3,
            "every frame has a person and a latent; got "
            f"{len(frames)} frames, {len(person)} persons, latents of shape {latents.shape}",
        )
        self.frames, self.latents = frames, latents
        self._order = np.argsort(person, kind="stable")
        self._place = np.argsort(self._order)
        _, index, counts = np.unique(person, return_inverse=True, return_counts=True)
        starts = np.cumsum(counts) - counts
        self._start, self._count = starts[index], counts[index]
        expect(
            counts.min() >= 2 and len(counts) >= 2,
            "a transfer learns from at least two people with at least two frames each",
        )

    def items(self, step: int, batch: int) -> Items:
        """Which frames a step sees: a function of step and seed alone."""
        drivers = self.frames.items(range(step * batch, (step + 1) * batch))
        draws = [rng(self.frames.seed, "pairs", step, sample) for sample in range(batch)]
        pairs = [self._partners(item, draw) for item, draw in zip(drivers, draws, strict=True)]
        identities, others = zip(*pairs, strict=True)
        return Items(drivers, list(identities), list(others))

    def draw(
        self, step: int, batch: int, device: torch.device, samples: Sequence[int] | None = None
    ) -> Drawn:
        """What a step sees.

        Args:
            samples: Which of the batch; all by default.
        """
        samples = range(batch) if samples is None else samples
        driver, identity, other = (
            [column[i] for i in samples] for column in self.items(step, batch)
        )
        return Drawn(
            self.frames.pictures(driver).to(device),
            self.codes(identity).to(device),
            self.codes(other).to(device),
            self.frames.pictures(other).to(device),
            self.codes(driver).to(device),
        )

    def codes(self, items: Sequence[int]) -> WPlus:
        """Latents by item number."""
        return torch.from_numpy(np.stack([self.latents[item] for item in items]))

    def _partners(self, driver: int, draw: torch.Generator) -> tuple[int, int]:
        """Another frame of the driver's person, and a frame of anybody else."""
        start, count = int(self._start[driver]), int(self._count[driver])
        ahead = 1 + self._below(count - 1, draw)
        place = start + (int(self._place[driver]) - start + ahead) % count
        stranger = self._below(len(self.frames) - count, draw)
        stranger += count * (stranger >= start)
        return int(self._order[place]), int(self._order[stranger])

    @staticmethod
    def _below(count: int, draw: torch.Generator) -> int:
        return int(torch.randint(count, (), generator=draw))
