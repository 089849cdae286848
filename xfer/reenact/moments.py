"""Frames to motions: through the motion encoder, or through landmarks and controls."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.controls import Controls, between, named_factors
from xfer.errors import BadValue, NoFace, expect
from xfer.media.video import Frame
from xfer.reenact.drivers import Driver, Sight
from xfer.reenact.places import Place, cut
from xfer.reenact.studio import Studio

Motion = Float[Tensor, "1 bottleneck"]


class Moment(NamedTuple):
    """One frame's motion, and where it comes from."""

    h: Motion
    frame: Frame | None = None
    """None for motions that no picture shows."""
    place: Place | None = None
    """None while no face is in sight; the motion is then the last one."""
    aligned: Float[Tensor, "1 3 size size"] | None = None


Aligned = Float[Tensor, "batch 3 size size"]
Motions = Float[Tensor, "batch _"]
Read = Callable[[list[Place], Aligned], Motions]


def moments(driver: Driver, studio: Studio, own: Motion, read: str, batch: int) -> Iterator[Moment]:
    """The motions of every frame; `own` is what landmarks do not tell.

    A face out of sight keeps its last motion, and before its first sight shows the first one:
    this is looked up in a reading of its own, so that no frames wait for it in memory.
    """
    reader = _reader(driver, studio, own, read)
    sights, last = iter(driver), None
    while chunk := list(islice(sights, batch)):
        for moment in _chunk(chunk, reader, studio.size, driver.is_video):
            if moment.place:
                last = moment
            elif last is None:
                (last,) = _chunk([_first(driver)], reader, studio.size, driver.is_video)
            yield moment if moment.place else moment._replace(h=last.h, aligned=last.aligned)


def _first(driver: Driver) -> Sight:
    """The first sight of the face."""
    for sight in driver:
        if sight.place:
            return sight
    raise NoFace(f"no face was found in {driver.path}")


def _chunk(sights: list[Sight], read: Read, size: int, moving: bool) -> Iterator[Moment]:
    """Frames with a face are read together."""
    seen = [sight for sight in sights if sight.place]
    images = [cut(sight.frame.pixels, sight.place.crop, size, not moving) for sight in seen]
    rows = iter(read([s.place for s in seen], torch.cat(images)).split(1)) if seen else iter(())
    pictures = iter(images)
    for sight in sights:
        if sight.place:
            yield Moment(next(rows), *sight, next(pictures))
        else:
            yield Moment(torch.zeros(1, 0), *sight)


def _reader(driver: Driver, studio: Studio, own: Motion, read: str) -> Read:
    asked, read = read, studio.reads(read, driver.rendered)
    if asked == "auto":
        _remark_on_strangers(driver, studio, read)
    if read == "pictures":
        return lambda _, images: _encoded(studio, images)
    expect(
        studio.reads_landmarks,
        "reading motion from landmarks needs controls and a landmark reader in the weights' file; "
        "learn them with `xfer train controls`",
    )
    return lambda places, _: _from_landmarks(studio, own, places)


def _remark_on_strangers(driver: Driver, studio: Studio, read: str) -> None:
    """Say how a driver is read from another world than the weights'."""
    if not studio.of_the_face_world or driver.rendered:
        return
    how = f"{driver.path} is read by its landmarks"
    if read == "pictures":
        how = (
            f"the motion encoder makes little of {driver.path}; with controls it would be read by "
            "its landmarks: run `xfer train controls`"
        )
    driver.remark(f"these weights know the face world only: {how}")


@torch.no_grad()
def _encoded(
    studio: Studio, images: Float[Tensor, "batch 3 size size"]
) -> Float[Tensor, "batch _"]:
    return studio.model.motion_encoder.bottleneck(images.to(studio.device))


@torch.no_grad()
def _from_landmarks(studio: Studio, own: Motion, places: list[Place]) -> Float[Tensor, "places _"]:
    missing = any(place.landmarks is None for place in places)
    expect(not missing, "motion is to be read from landmarks, and none were found in the driver")
    marks = torch.cat([place.landmarks for place in places]).to(studio.device)
    factors = studio.landmark_reader(marks)
    known = [name for name in studio.landmark_reader.names if name in studio.controls.names]
    columns = dict(zip(studio.landmark_reader.names, factors.T, strict=True))
    wanted = {name: columns[name] for name in known}
    return studio.controls.set(own.expand(len(places), -1), wanted)


def blended(first: Iterable[Moment], second: Iterable[Moment], share: float) -> Iterator[Moment]:
    """Motions between two drivers, as many as the first has; the second waits at its end."""
    others, other = iter(second), None
    for moment in first:
        other = next(others, other)
        if other is None:
            raise BadValue("the second driver has no frames")
        yield moment._replace(h=between(moment.h, other.h, share))


def factor_moment(studio: Studio, own: Motion, factors: Mapping[str, float]) -> Moment:
    """The person's own motion with some factors set."""
    if studio.controls is None:
        raise BadValue(
            f"setting {', '.join(factors)} needs controls, which these weights do not carry; "
            "learn them with `xfer train controls`"
        )
    return Moment(studio.controls.set(own, factors))


def beyond(controls: Controls, factors: Mapping[str, float]) -> dict[str, float]:
    """Limits of the factors that lie beyond them: what `Controls.set` takes instead."""
    limits = {}
    for name, value in named_factors(factors).items():
        if name in controls.names:
            row = controls.names.index(name)
            limit = min(max(value, float(controls.lowest[row])), float(controls.highest[row]))
            limits |= {name: limit} if limit != value else {}
    return limits


def parse_factors(text: str) -> dict[str, float] | None:
    """`yaw_deg=20,smile=.5` as numbers; None for a text that is no such list."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip().isidentifier() and sign for name, sign, _ in pairs):
        return None
    try:
        values = {name.strip(): float(value) for name, _, value in pairs}
    except ValueError:
        raise BadValue(f"factors are numbers, as in yaw_deg=20,smile=.5; got '{text}'") from None
    finite = all(abs(value) < float("inf") for value in values.values())
    expect(finite, f"factors are finite numbers; got '{text}'")
    return values
