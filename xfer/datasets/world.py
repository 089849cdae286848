"""The face world as an endless source: frames and pairs rendered when they are asked for.

The same interface as over prepared clips. A position means the same picture for ever: its person,
motion and scene are drawn from seed and position alone.
"""

from collections.abc import Callable, Sequence

import torch

from xfer.axes import Image
from xfer.datasets.sources import Order, Pairs
from xfer.errors import expect
from xfer.faceworld.factors import (
    Factors,
    Group,
    draw_identity,
    draw_motion,
    draw_scene,
    seeded,
)
from xfer.faceworld.native import compiler
from xfer.faceworld.render import render

Renderer = Callable[[Group, Group, Group, int], Image]
"""(identity, motion, scene, size) -> aligned pictures."""

PERSON, MOTION, SCENE = 10, 11, 12
"""Streams of random numbers, one for each group of factors."""


def render_aligned(identity: Group, motion: Group, scene: Group, size: int) -> Image:
    """The plain renderer: aligned pictures, no compiler needed."""
    return render(identity, motion, scene, size, aligned=True).picture


def fast_renderer(device: torch.device | str = "cpu") -> Renderer:
    """Draws on a device; on a CPU with the machine's C++ compiler, where there is one."""
    compiled = compiler() is not None

    def draw(identity: Group, motion: Group, scene: Group, size: int) -> Image:
        groups = [group.to(device) for group in (identity, motion, scene)]
        return render(*groups, size, aligned=True, compiled=compiled).picture

    return draw


class World:
    """People, motions and scenes by number, and a way to draw them.

    Args:
        size: Edge of the pictures in pixels.
        seed: Of everything that is drawn.
        people: How many there are; None for a new one every time.
        preset: Of the scenes, 'studio' or 'wild'.
        renderer: Draws the pictures; a compiled one is several times faster.
    """

    def __init__(
        self,
        size: int,
        seed: int = 0,
        people: int | None = None,
        preset: str = "studio",
        renderer: Renderer = render_aligned,
    ):
        expect(people is None or people >= 2, f"a world has at least two people; got {people}")
        self.size, self.seed, self.people, self.preset = size, seed, people, preset
        self.renderer = renderer
        self._order = Order(people, seed) if people else None

    def person(self, position: int) -> int:
        """Number of the person at a position."""
        return self._order[position] if self._order else position

    def other_person(self, position: int) -> int:
        """Number of a person at a position who is not `person(position)`."""
        own = self.person(position)
        if self.people is None:
            # Positions count up from 0, so strangers are counted down from below it.
            return -1 - position
        generator = seeded(self.seed, PERSON, position)
        other = int(torch.randint(self.people - 1, (1,), generator=generator))
        return other + (other >= own)

    def factors(
        self, people: Sequence[int], motions: Sequence[int], scenes: Sequence[int]
    ) -> Factors:
        """Factors by the numbers of person, motion and scene."""
        draw = lambda make, stream, numbers: Group.cat(
            [make(1, seeded(self.seed, stream, 2 * abs(n) + (n < 0))) for n in numbers]
        )
        return Factors(
            draw(draw_identity, PERSON, people),
            draw(draw_motion, MOTION, motions),
            draw(lambda n, g: draw_scene(n, g, self.preset), SCENE, scenes),
        )

    def draw(self, factors: Factors) -> Image:
        """Aligned pictures."""
        return self.renderer(*factors.groups, self.size)


class RenderedFrames:
    """Single pictures of the world."""

    def __init__(self, world: World):
        self.world = world

    @property
    def resolution(self) -> int:
        """Edge of a picture in pixels."""
        return self.world.size

    def factors(self, positions: Sequence[int]) -> Factors:
        """What is true at these positions."""
        people = [self.world.person(position) for position in positions]
        return self.world.factors(people, positions, positions)

    def at(self, positions: Sequence[int]) -> Image:
        """Pictures at these positions, in [-1, 1]."""
        return self.world.draw(self.factors(positions))


class RenderedPairs:
    """Pairs of one person in one scene moving twice, or of two people who share nothing.

    Args:
        cross: Pairs of two people instead of one.
    """

    def __init__(self, world: World, cross: bool = False):
        self.world, self.cross = world, cross

    def factors(self, positions: Sequence[int]) -> tuple[Factors, Factors]:
        """What is true of the first and second pictures."""
        world = self.world
        own = [world.person(position) for position in positions]
        others = [world.other_person(position) for position in positions] if self.cross else own
        later = [-1 - position for position in positions]
        scenes = later if self.cross else positions
        return (
            world.factors(own, positions, positions),
            world.factors(others, later, scenes),
        )

    def at(self, positions: Sequence[int]) -> Pairs:
        """Pairs at these positions."""
        first, second = self.factors(positions)
        pictures = self.world.draw(Factors.cat([first, second]))
        names = [
            [str(who(position)) for position in positions]
            for who in (
                self.world.person,
                self.world.other_person if self.cross else self.world.person,
            )
        ]
        count = len(positions)
        return Pairs(pictures[:count], pictures[count:], list(positions), list(positions), *names)
