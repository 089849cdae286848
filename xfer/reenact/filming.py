"""The loop from driver to file: motions, switches, latents, pictures, places."""

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xfer.controls import Switches
from xfer.errors import expect
from xfer.media.pictures import Pixels, write_picture
from xfer.media.video import VideoReader
from xfer.media.video_out import VideoWriter
from xfer.reenact.drivers import Driver
from xfer.reenact.identities import Subject
from xfer.reenact.moments import Moment
from xfer.reenact.placing import as_image, shower, source_of
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio
from xfer.runs import Progress


class Made(NamedTuple):
    """What was written."""

    path: Path
    frames: int
    seconds: float

    def __str__(self) -> str:
        rate = self.frames / max(self.seconds, 1e-9)
        return (
            f"{self.path}: {self.frames} frames, {rate:.1f} a second"
            if (self.frames > 1)
            else str(self.path)
        )


def switches(settings: Settings) -> Switches:
    """What the settings say of motion."""
    parts = {"parts": tuple(settings.only)} if settings.only else {}
    return Switches(settings.strength, settings.relative, **parts)


@torch.no_grad()
def shown(
    moments: Iterable[Moment], subject: Subject, studio: Studio, settings: Settings
) -> Iterator[Pixels]:
    """The picture to be written of every moment."""
    moments = iter(moments)
    first = next(moments, None)
    expect(first is not None, "the driver has no frames")
    change, show = switches(settings), shower(settings, subject, first)
    moments = chain([first], moments)
    while chunk := list(islice(moments, settings.batch)):
        h = torch.cat([moment.h for moment in chunk])
        moved = change.apply(h, subject.own, first.h, studio.controls)
        latents = studio.model.latents(moved, subject.person)
        images = studio.model.generator.synthesis(latents).float().cpu()
        for moment, image in zip(chunk, images.split(1), strict=True):
            yield show(moment, image)


def make_picture(
    out: Path, moment: Moment, subject: Subject, studio: Studio, settings: Settings
) -> Made:
    """Write one picture."""
    begin = time.monotonic()
    (pixels,) = shown([moment], subject, studio, settings)
    write_picture(out, as_image(pixels), source_of(settings), studio.note)
    return Made(out, 1, time.monotonic() - begin)


def make_video(
    out: Path,
    driver: Driver,
    moments: Iterable[Moment],
    subject: Subject,
    studio: Studio,
    settings: Settings,
) -> Made:
    """Write a video with the driver's frame times and sound."""
    begin = time.monotonic()
    # How long a camera will run is not known: a line every so often is enough.
    progress = Progress(driver.frames or sys.maxsize, out.name, "frames")
    timed: list[float] = []

    def noted() -> Iterator[Moment]:
        for moment in moments:
            timed.append(moment.frame.time)
            yield moment

    told = {"source": source_of(settings), "note": studio.note}
    try:
        with VideoWriter(out, **_as_filmed(driver), **told) as video:
            for pixels in shown(noted(), subject, studio, settings):
                video.add(pixels, timed.pop(0))
                progress.advance()
    finally:
        progress.close()
    return Made(out, video.frames, time.monotonic() - begin)


def _as_filmed(driver: Driver) -> dict[str, Any]:
    """Rate, clock and sound of the driver, as far as it has them."""
    if not isinstance(driver.reader, VideoReader):
        return {}
    facts = driver.reader.facts
    sound = {"sound_from": driver.path} if facts.has_sound else {}
    return {"fps": facts.fps, "time_base": facts.time_base} | sound
