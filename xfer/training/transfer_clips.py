"""Who drives whom: frames of people with their latents, drawn in pairs and strangers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from xfer.axes import Image, WPlus
from xfer.datasets.sources import CrossPersonPairs, Frames, SamePersonPairs
from xfer.errors import expect
from xfer.training.ahead import Ahead
from xfer.training.frames import FrameArray, StoredFrames
from xfer.training.randomness import rng


class Items(NamedTuple):
    """Frames of one step by number, one of each for every sample."""

    driver: list[int]
    identity: list[int]
    """Other frames of the drivers' people."""
    other: list[int]
    """Frames of other people."""


class Request(NamedTuple):
    """What is asked for in one step."""

    step: int
    batch: int
    samples: tuple[int, ...]
    """Those of the batch that a process holds."""

    def following(self) -> "Request":
        """The same of the step after."""
        return self._replace(step=self.step + 1)


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


@runtime_checkable
class Cast(Protocol):
    """Who appears with whom."""

    def items(self, step: int, batch: int) -> Items:
        """Which frames a step sees: a function of step and seed alone."""
        ...


class PeopleCast:
    """All frames of a person, who keeps one scene, are partners; all others are strangers.

    Args:
        person: Whom each frame shows.
    """

    def __init__(self, frames: StoredFrames, person: Sequence[int] | np.ndarray):
        person = np.asarray(person)
        expect(
            len(frames) == len(person),
            f"every frame has a person; got {len(frames)} frames and {len(person)} persons",
        )
        self.frames = frames
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
        """Which frames a step sees."""
        drivers = self.frames.items(range(step * batch, (step + 1) * batch))
        draws = [rng(self.frames.seed, "pairs", step, sample) for sample in range(batch)]
        pairs = [self._partners(item, draw) for item, draw in zip(drivers, draws, strict=True)]
        identities, others = zip(*pairs, strict=True)
        return Items(drivers, list(identities), list(others))

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


class ClipCast:
    """Prepared clips: partners are frames of one clip, strangers anybody else, each person alike.

    Frames that are alone in their clip drive nobody, but may be strangers.
    """

    def __init__(self, frames: Frames):
        people = frames.clips.index["person"].nunique()
        expect(
            people >= 2,
            f"{frames.clips.folder} shows {people} person to learn from; a transfer learns from "
            "at least two. A preparation keeps people for its other splits: prepare videos of "
            "four people or more, with a folder for each and `--people folder`",
        )
        self._same = SamePersonPairs(frames.clips, frames.seed)
        self._cross = CrossPersonPairs(frames.clips, frames.seed)

    def items(self, step: int, batch: int) -> Items:
        """Which frames a step sees."""
        positions = range(step * batch, (step + 1) * batch)
        drivers, identities = map(list, zip(*self._same.items(positions), strict=True))
        others = [self._cross.partner(d, p) for d, p in zip(drivers, positions, strict=True)]
        return Items(drivers, identities, others)


class TransferClips:
    """Frames of people who are each seen several times, and a latent for each frame.

    What a step sees is read a step ahead, unless the frames are an array.

    Args:
        cast: Who appears with whom in a step.
        latents: `frames styles w`, mapped from disk or in memory.
    """

    def __init__(self, frames: StoredFrames, cast: Cast, latents: np.ndarray):
        expect(
            len(frames) == len(latents) and latents.ndim == 3,
            f"every frame has a latent; got {len(frames)} frames and latents of shape "
            f"{latents.shape}",
        )
        self.frames, self.latents, self.items = frames, latents, cast.items
        self._seen = self._read
        if not isinstance(frames, FrameArray):
            self._seen = Ahead(self._read, Request.following)

    def draw(
        self, step: int, batch: int, device: torch.device, samples: Sequence[int] | None = None
    ) -> Drawn:
        """What a step sees.

        Args:
            samples: Which of the batch; all by default.
        """
        samples = range(batch) if samples is None else samples
        seen = self._seen(Request(step, batch, tuple(samples)))
        return Drawn(*(part.to(device) for part in seen))

    def _read(self, asked: Request) -> Drawn:
        items = self.items(asked.step, asked.batch)
        driver, identity, other = ([column[i] for i in asked.samples] for column in items)
        return Drawn(
            self.frames.pictures(driver),
            self.codes(identity),
            self.codes(other),
            self.frames.pictures(other),
            self.codes(driver),
        )

    def codes(self, items: Sequence[int]) -> WPlus:
        """Latents by item number."""
        return torch.from_numpy(np.stack([self.latents[item] for item in items]))
