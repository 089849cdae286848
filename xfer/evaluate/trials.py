"""What methods are asked: drivers, identities, and the exact answer where it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xfer.axes import Image
from xfer.baselines import Driver
from xfer.datasets.clips import Clips
from xfer.errors import expect
from xfer.faceworld.factors import Factors, Group, draw_identity, draw_motion, draw_scene, seeded
from xfer.faceworld.native import compiler
from xfer.faceworld.render import Rendering, render

Mode = Literal["self", "cross"]
"""Who gives the motion: the identity in another frame, or someone else."""
STREAM = 1 << 20
"""Sets trials apart from training frames, which draw their people from small numbers."""
BATCH = 16


@dataclass(frozen=True)
class Trials:
    """One row a question; every person is the identity of equally many, which stand together."""

    driver: Driver
    identity: Image
    people: Int[np.ndarray, " batch"]
    """Who the identity is; from 0."""
    givers: Int[np.ndarray, " batch"]
    """Who drives, in the same numbers; those of strangers who are nobody's identity follow."""
    mode: Mode
    face: Bool[Tensor, "batch height width"] | None = None
    """Where the truth shows the face."""
    landmarks: Float[Tensor, "batch 68 2"] | None = None
    """Of the truth, in the crop."""
    motion: Group | None = None
    """What the driver does, exactly."""
    hair: Float[Tensor, " batch"] | None = None
    """The identity's hair style: its place in the face world's list."""

    def __len__(self) -> int:
        return len(self.identity)

    def index(self, rows: Sequence[int]) -> "Trials":
        """Some of them."""
        rows = list(rows)
        pick = lambda x: None if x is None else x[rows]
        return Trials(
            Driver(*map(pick, self.driver)),
            self.identity[rows],
            self.people[rows],
            self.givers[rows],
            self.mode,
            pick(self.face),
            pick(self.landmarks),
            self.motion and self.motion.index(rows),
            pick(self.hair),
        )


def world_trials(
    people: int,
    per_person: int = 4,
    size: int = 64,
    seed: int = 0,
    mode: Mode = "cross",
    preset: str = "studio",
    compiled: bool | None = None,
) -> Trials:
    """Trials whose answer is rendered: the identity, in its scene, moving as the driver does.

    Every person is the identity of `per_person` trials, each with a driver, poses and scenes of
    its own. In self mode driver and identity are one person in one scene, so that the driver's
    picture is the truth.

    Args:
        seed: Another seed, other people; nobody here is in any set of training frames.
        compiled: As for `renderer`.
    """
    expect(people >= 2, f"recognising needs two people at least; got {people}")
    expect(per_person >= 1, f"every person has a trial at least; got {per_person}")
    total = people * per_person
    draw = lambda stream: seeded(seed, STREAM + stream)
    who, scene = (
        draw_identity(people, draw(0)).repeat(per_person),
        draw_scene(total, draw(1), preset),
    )
    still, moving, other = (draw_motion(total, draw(k)) for k in (2, 3, 4))
    giver, place = who, scene
    names = givers = np.arange(people).repeat(per_person)
    if mode == "cross":
        giver, place = draw_identity(total, draw(5)), draw_scene(total, draw(6), preset)
        givers = people + np.arange(total)
    shown = renderer(size, compiled)
    truth = shown(who, moving, scene)
    driver = truth if mode == "self" else shown(giver, moving, place)
    return Trials(
        Driver(driver[0], shown(giver, other, place)[0], truth[0]),
        shown(who, still, scene)[0],
        names,
        givers,
        mode,
        *truth[1:],
        moving,
        who["hair_style"].round(),
    )


Shows = Callable[[Group, Group, Group], tuple[Tensor, Tensor, Tensor]]


def renderer(size: int, compiled: bool | None = None) -> Shows:
    """From identity, motion and scene to aligned pictures, their faces and landmarks.

    Args:
        compiled: Render through compiled code; by default where there is a C++ compiler.
    """
    compiled = compiler() is not None if compiled is None else compiled
    return lambda *groups: _render(Factors(*groups), size, compiled)


def _render(factors: Factors, size: int, compiled: bool) -> tuple[Tensor, Tensor, Tensor]:
    parts: list[Rendering] = [
        render(*factors.index(slice(i, i + BATCH)).groups, size, aligned=True, compiled=compiled)
        for i in range(0, len(factors), BATCH)
    ]
    found = zip(*((p.picture, p.face, p.landmarks_in_crop) for p in parts), strict=True)
    pictures, faces, landmarks = (torch.cat(rows) for rows in found)
    return pictures, faces, landmarks


def clip_trials(clips: Clips, per_person: int = 4, seed: int = 0, mode: Mode = "cross") -> Trials:
    """Trials on prepared clips, mostly without truth.

    In self mode identity and driver are two frames of one clip, and the driver is the truth:
    people without a clip of two frames are left out.
    """
    expect(per_person >= 1, f"every person has a trial at least; got {per_person}")
    rng, frames = np.random.default_rng((seed, STREAM)), _ClipFrames(clips, mode)
    people = list(frames.identities)
    expect(len(people) >= 2, f"recognising needs two people at least; got {len(people)}")
    pick = frames.of_others if mode == "cross" else frames.of_the_same
    rows = [pick(person, rng) for person in people for _ in range(per_person)]
    items = tuple(zip(*rows, strict=True))
    driver, reference, identity = map(clips.pictures, items)
    number = {person: i for i, person in enumerate(people)}
    givers = clips.index["person"].iloc[list(items[0])].map(number)
    return Trials(
        Driver(driver, reference, driver if mode == "self" else None),
        identity,
        np.arange(len(people)).repeat(per_person),
        givers.to_numpy(int),
        mode,
    )


class _ClipFrames:
    """Frames by person and clip; draws items of driver, of its reference, and of the identity."""

    def __init__(self, clips: Clips, mode: Mode):
        self._clip, self._of_clip = clips.index["clip"].to_numpy(), clips.items_by("clip")
        self.identities = clips.items_by("person")
        if mode == "self":
            shared = {p: self._with_company(items) for p, items in self.identities.items()}
            self.identities = {p: items for p, items in shared.items() if len(items)}

    def _with_company(self, items: np.ndarray) -> np.ndarray:
        return np.array([i for i in items if len(self._of_clip[self._clip[i]]) > 1], int)

    def of_others(self, person: str, rng: np.random.Generator) -> tuple[int, int, int]:
        giver = rng.choice([other for other in self.identities if other != person])
        driver = int(rng.choice(self.identities[giver]))
        return driver, self._beside(rng, driver), int(rng.choice(self.identities[person]))

    def of_the_same(self, person: str, rng: np.random.Generator) -> tuple[int, int, int]:
        identity = int(rng.choice(self.identities[person]))
        driver = self._beside(rng, identity)
        # From the identity's own frame a latent difference would lead straight to the driver.
        return driver, self._beside(rng, driver, identity), identity

    def _beside(self, rng: np.random.Generator, item: int, avoided: int | None = None) -> int:
        """Another frame of the clip: the avoided one, or the same, only where there is no other."""
        others = [i for i in self._of_clip[self._clip[item]] if i != item]
        best = [i for i in others if i != avoided]
        return int(rng.choice(best or others or [item]))
