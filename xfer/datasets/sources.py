"""What a training loop draws from prepared clips: frames, and pairs of frames, by position.

Position p of an endless order is place `p mod n` of epoch `p div n`; each epoch has its own order,
a function of the seed. Whatever else is drawn at a position follows from seed and position too.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from xfer.axes import Image
from xfer.datasets.clips import Clips
from xfer.errors import expect

SAME, CROSS = 1, 2
"""Streams of random numbers, one for each kind of pair."""


@runtime_checkable
class Source(Protocol):
    """Anything with an endless order."""

    def at(self, positions: Sequence[int]) -> Any:
        """What stands at these positions."""
        ...


class Pairs(NamedTuple):
    """Pictures two by two."""

    first: Image
    """The driver where one drives the other."""
    second: Image
    first_items: list[int]
    """Item numbers of the first pictures in their clips; positions where they are rendered."""
    second_items: list[int]
    first_people: list[str]
    second_people: list[str]


class Order:
    """The endless order of `length` items."""

    def __init__(self, length: int, seed: int):
        expect(length > 0, "an order needs at least one item; there is none")
        self.length, self.seed = length, seed
        self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 0, epoch)).permutation(self.length)

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self.length)
        return int(self._epoch(epoch)[place])


class Frames:
    """Single frames in an endless order."""

    def __init__(self, clips: Clips, seed: int = 0):
        self.clips, self.seed, self._order = clips, seed, Order(len(clips), seed)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def resolution(self) -> int:
        """Edge of a picture in pixels."""
        return self.clips.resolution

    def items(self, positions: Sequence[int]) -> list[int]:
        """Which frames stand at these positions."""
        return [self._order[position] for position in positions]

    def at(self, positions: Sequence[int]) -> Image:
        """Pictures at these positions, in [-1, 1]."""
        return self.pictures(self.items(positions))

    def pictures(self, items: Sequence[int]) -> Image:
        """Pictures by item number, in [-1, 1]."""
        return self.clips.pictures(items)


class _ClipPairs:
    """Frames in order, each with a partner drawn for its position."""

    def __init__(self, clips: Clips, seed: int, stream: int, eligible: np.ndarray):
        self.clips, self.seed, self._stream = clips, seed, stream
        self._eligible, self._order = eligible, Order(len(eligible), seed)
        self._people = clips.index["person"].to_numpy()

    def __len__(self) -> int:
        return len(self._eligible)

    def items(self, positions: Sequence[int]) -> list[tuple[int, int]]:
        """Which frames stand at these positions."""
        return [self._pair(position) for position in positions]

    def _pair(self, position: int) -> tuple[int, int]:
        first = int(self._eligible[self._order[position]])
        return first, self.partner(first, position)

    def partner(self, first: int, position: int) -> int:
        """Whom this frame would be shown with, if it stood at a position."""
        draw = np.random.default_rng((self.seed, self._stream, position))
        return self._partner(first, draw)

    def _partner(self, first: int, draw: np.random.Generator) -> int:
        raise NotImplementedError

    def at(self, positions: Sequence[int]) -> Pairs:
        """Pairs at these positions."""
        firsts, seconds = map(list, zip(*self.items(positions), strict=True))
        pictures = self.clips.pictures(firsts + seconds)
        return Pairs(
            pictures[: len(firsts)], pictures[len(firsts) :], firsts, seconds,
            self._people[firsts].tolist(), self._people[seconds].tolist(),
        )  # fmt: skip


class SamePersonPairs(_ClipPairs):
    """Every frame with another frame of the same person.

    Args:
        across_clips: The partner may come from any clip of the person; by default it comes from
            the same clip, and so shows the same hair, clothes and light.
    """

    def __init__(self, clips: Clips, seed: int = 0, across_clips: bool = False):
        groups = clips.items_by("person" if across_clips else "clip")
        self._mates = [items for items in groups.values() if len(items) > 1]
        expect(self._mates, "pairs of one person need a clip of at least two frames")
        self._place = {
            int(item): (group, place)
            for group, items in enumerate(self._mates)
            for place, item in enumerate(items)
        }
        super().__init__(clips, seed, SAME, np.sort(np.concatenate(self._mates)))

    def _partner(self, first: int, draw: np.random.Generator) -> int:
        group, place = self._place[first]
        mates = self._mates[group]
        other = int(draw.integers(len(mates) - 1))
        return int(mates[other + (other >= place)])


class CrossPersonPairs(_ClipPairs):
    """Every frame with a frame of another person; all other people are equally likely."""

    def __init__(self, clips: Clips, seed: int = 0):
        groups = clips.items_by("person")
        expect(len(groups) > 1, f"pairs of different people need two of them; got {len(groups)}")
        self._names, self._frames = list(groups), list(groups.values())
        self._number = {name: number for number, name in enumerate(self._names)}
        super().__init__(clips, seed, CROSS, np.arange(len(clips)))

    def _partner(self, first: int, draw: np.random.Generator) -> int:
        own = self._number[self._people[first]]
        other = int(draw.integers(len(self._names) - 1))
        frames = self._frames[other + (other >= own)]
        return int(frames[draw.integers(len(frames))])
