"""From a state to its picture. What does not change between two pictures is kept."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image
from xfer.controls import Switches, between
from xfer.errors import BadValue, expect
from xfer.explorer.state import State
from xfer.faceworld.clips import draw_clip
from xfer.faceworld.factors import draw_identity, draw_motion, draw_scene, seeded
from xfer.faceworld.native import compiler
from xfer.faceworld.render import render
from xfer.media.detectors import Detector, open_detector
from xfer.reenact.drivers import Driver, open_driver
from xfer.reenact.identities import Subject, from_code, open_identity, random_code
from xfer.reenact.moments import moments
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio

MOTIONS = 96
"""Random motions whose principal components are offered."""
KEPT = 32
"""People, clips and pictures that are kept ready."""
Motions = Float[Tensor, "_ bottleneck"]


class Track(NamedTuple):
    """Who drives, from frame to frame."""

    h: Motions
    frames: int
    """How many the driver has, of which a long video gives only the first."""


class Explorer:
    """Draws states of one model.

    Args:
        studio: The model opened for use.
        frames: Length of the clips that drive.
        seed: Of the motions whose components are offered.
        longest: Frames of a video that are read at most. They are read before the first is shown,
            which takes the paper's networks a third of a second each on a CPU.
    """

    def __init__(self, studio: Studio, frames: int = 24, seed: int = 0, longest: int = 250):
        expect(frames >= 1, f"a clip has one frame at least; got {frames}")
        expect(longest >= 1, f"of a video one frame is read at least; got {longest}")
        self.studio, self.frames, self.seed, self.longest = studio, frames, seed, longest
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._detector: Detector | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """Controls that the weights carry; none if they were never learned."""
        return self.studio.controls.names if self.studio.controls else ()

    def reach(self, factor: str) -> float:
        """How far a control is worth moving from the driver's own value, in its unit.

        Three of the factor's spreads, but no further than motions are apart, all other factors
        staying: one that is hardly known apart from others soon leads out of all faces.
        """
        controls, row = self.studio.controls, self.factors.index(factor)
        return min(3 * float(controls.spread[row]), float(controls.farthest()[row]))

    @torch.no_grad()
    def view(self, state: State) -> Image:
        """The picture of a state, 1 x 3 x resolution x resolution; equal states, equal pictures."""
        subject = self.identity(state)
        h = self.motion(state, subject)
        latents = self.studio.model.latents(h, subject.person)
        own = torch.arange(latents.shape[1])
        own = (own < state.layers[0]) | (own > state.layers[1])
        latents = torch.where(
            own[None, :, None].to(latents.device), subject.person.identity, latents
        )
        return self.studio.model.generator.synthesis(latents).float().cpu().clamp(-1, 1)

    def length(self, state: State) -> int:
        """How many frames there are to choose from: a video's, else as many as of a clip."""
        h = self.track(state).h if state.motion == "file" else ()
        return len(h) if len(h) > 1 else self.frames

    def remark(self, state: State) -> str:
        """What is worth saying of the driver; empty if nothing is."""
        h, frames = self.track(state)
        cut = len(h) < frames
        return f"The first {len(h)} of the video's {frames} frames drive." if cut else ""

    @torch.no_grad()
    def identity(self, state: State) -> Subject:
        """Who is shown."""
        key = ("person", state.photo, state.seed, state.other_seed, state.mix, state.psi)
        return self._keep(key, lambda: self._identity(state))

    def motion(self, state: State, subject: Subject) -> Motions:
        """The motion that is shown, after strength, components and controls."""
        h = self.driver(state, subject)
        h = Switches(state.strength).apply(h, subject.own, h)
        for number, amount in state.components.items():
            axes = self.components()
            expect(number < len(axes), f"there are {len(axes)} components; got number {number}")
            h = h + amount * axes[number]
        if state.controls:
            controls = self.studio.controls
            if controls is None:
                raise BadValue("these weights carry no controls; learn them: xfer train controls")
            unknown = [name for name in state.controls if name not in self.factors]
            expect(not unknown, f"there is no control {unknown}; there are {self.factors}")
            now = dict(zip(self.factors, controls.read(h)[0], strict=True))
            h = controls.set(h, {name: now[name] + by for name, by in state.controls.items()})
        return h

    def driver(self, state: State, subject: Subject) -> Motions:
        """The driver's motion as it is; what stands still is the same in every frame."""
        h = self.track(state, subject).h
        number = state.frame if len(h) > 1 else 0
        expect(number < len(h), f"the driver has {len(h)} frames; got number {number}")
        return h[number : number + 1]

    @torch.no_grad()
    def track(self, state: State, subject: Subject | None = None) -> Track:
        """The driver's motions in all frames.

        Args:
            subject: Who is shown, if that is known already.
        """
        subject = subject or self.identity(state)
        if state.motion == "own":
            return Track(subject.own, 1)
        if state.motion == "file":
            expect(state.file, "a file drives, but none is named")
            key = ("file", state.file, subject.name)
            return self._keep(key, lambda: self._read(state.file, subject))
        h = self._keep(("clip", state.clip_seed), lambda: self._encode(self.clip(state.clip_seed)))
        return Track(h, len(h))

    def clip(self, seed: int) -> Image:
        """A face-world clip as the driver gives it."""
        clip = draw_clip(self.frames, seed, preset="studio")
        return self._render(*clip.groups)

    def components(self) -> Motions:
        """Principal axes of random motions, the widest first, each one standard deviation long."""
        return self._keep("components", self._components)

    def _motions(self) -> Motions:
        """Motions of random pictures of the face world."""
        rng = seeded(self.seed, MOTIONS)
        groups = draw_identity(MOTIONS, rng), draw_motion(MOTIONS, rng), draw_scene(MOTIONS, rng)
        return self._keep("motions", lambda: self._encode(self._render(*groups)))

    def _components(self) -> Motions:
        h = self._motions()
        _, spread, axes = torch.linalg.svd(h - h.mean(0), full_matrices=False)
        return axes * spread[:, None] / (len(h) - 1) ** 0.5

    def _render(self, *groups: Any) -> Image:
        compiled = compiler() is not None
        return render(*groups, self.studio.size, aligned=True, compiled=compiled).picture

    def _encode(self, pictures: Image) -> Motions:
        parts = pictures.to(self.studio.device).split(16)
        return torch.cat([self.studio.model.motion_encoder.bottleneck(part) for part in parts])

    def _identity(self, state: State) -> Subject:
        settings = Settings(psi=state.psi)
        if state.photo:
            one = open_identity([state.photo], self.studio, settings, self._faces())
            code = one.person.identity
        else:
            code = random_code(self.studio, state.seed, settings)
        if state.mix:
            code = between(code, random_code(self.studio, state.other_seed, settings), state.mix)
        name = f"{state.photo or state.seed}, {state.other_seed}, {state.mix}, {state.psi}"
        return from_code(code, self.studio, name)

    def _read(self, path: str, subject: Subject) -> Track:
        """The motions of a picture's or video's frames, as `xfer transfer` reads them."""
        driver: Driver = self._keep(("driver", path), lambda: open_driver(path, self._faces()))
        found = moments(driver, self.studio, subject.own, "auto", 8)
        h = torch.cat([moment.h for moment in islice(found, self.longest)])
        return Track(h, driver.frames)

    def _faces(self) -> Detector:
        if self._detector is None:
            self._detector = open_detector()
        return self._detector

    def _keep(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made for this key before, or is made now; the longest unused is dropped."""
        if key not in self._kept:
            self._kept[key] = make()
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
