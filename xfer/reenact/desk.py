"""One command's tools, and what its texts name: drivers, people, motions, outputs."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from xfer.errors import MissingFile
from xfer.media.detectors import Detector, open_detector
from xfer.reenact.drivers import Driver, is_rendered, open_driver
from xfer.reenact.filming import Made, make_picture, make_video
from xfer.reenact.identities import Subject, between_subjects, open_identity
from xfer.reenact.live import LiveDriver
from xfer.reenact.moments import Moment, beyond, blended, factor_moment, moments, parse_factors
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio, say

LIVE = "live:"
"""Before the name of a camera."""

Given = Driver | dict[str, float]
"""A driver as opened: frames, or explicit factors."""


_detector = cache(open_detector)


class Desk:
    """One command's studio and settings; a detector is opened when it is first needed."""

    def __init__(self, studio: Studio, settings: Settings):
        self.studio, self.settings = studio, settings

    def _looker(self, read: str) -> Detector | None:
        """None where nobody has to look for faces: in aligned squares that are read whole."""
        if self.settings.aligned and read != "landmarks":
            return None
        return _detector(self.settings.landmarks, str(self.studio.device))

    def driver(self, text: str, only_first: bool = False) -> Given:
        """What a text names: a file (of a video all, or the first sight), a camera, or factors."""
        settings = self.settings
        if text.startswith(LIVE):
            looker = self._looker(self.studio.reads(settings.read, False))
            return LiveDriver(text.removeprefix(LIVE), looker, settings.aligned)
        factors = given_factors(text)
        if factors is not None:
            self._tell_limits(factors)
            return factors
        if not Path(text).exists():
            raise MissingFile(f"there is no driver {text}")
        looker = self._looker(self.studio.reads(settings.read, is_rendered(Path(text))))
        return open_driver(text, looker, settings.smoothing_s, settings.aligned, only_first)

    def _tell_limits(self, factors: dict[str, float]) -> None:
        limits = beyond(self.studio.controls, factors) if self.studio.controls else {}
        for name, limit in limits.items():
            say(f"{name} is taken as {limit:.3g}: these weights have seen no motion beyond that")

    def subject(self, texts: Sequence[str]) -> Subject:
        """The one person that the texts name, or one between two."""
        share = self.settings.between_identities
        if share is None:
            return self._person(texts)
        first, second = (self._person([text]) for text in texts)
        return between_subjects(first, second, share, self.studio)

    def _person(self, texts: Sequence[str]) -> Subject:
        is_photo = any(Path(text).exists() for text in texts)
        looker = self._looker(self.settings.read) if is_photo else None
        return open_identity(texts, self.studio, self.settings, looker)

    def moments(self, given: Given, subject: Subject) -> Iterator[Moment]:
        """A driver's motions for a person."""
        if isinstance(given, dict):
            return iter([factor_moment(self.studio, subject.own, given)])
        settings = self.settings
        return moments(given, self.studio, subject.own, settings.read, settings.batch)

    def make(self, drivers: Sequence[Given], subject: Subject, out: Path) -> Made:
        """One output of one driver, or of the motion between two."""
        first = drivers[0]
        found = self.moments(first, subject)
        if self.settings.between_drivers is not None:
            second = self.moments(drivers[1], subject)
            found = blended(found, second, self.settings.between_drivers)
        if isinstance(first, Driver) and first.is_video:
            return make_video(out, first, found, subject, self.studio, self.settings)
        return make_picture(out, next(found), subject, self.studio, self.settings)


def given_factors(text: str) -> dict[str, float] | None:
    """Factors, where a text that names no file is a list of them."""
    return None if Path(text).exists() else parse_factors(text)
