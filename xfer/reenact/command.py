"""`xfer transfer` and `xfer reenact` with the texts of a command line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from xfer.errors import BadValue, MissingFile, RunError, XferError, expect
from xfer.media.detectors import Detector, open_detector
from xfer.media.kinds import kind_of
from xfer.reenact.drivers import Driver, open_driver
from xfer.reenact.filming import Made, make_picture, make_video, switches
from xfer.reenact.identities import Subject, between_subjects, open_identity
from xfer.reenact.live import LiveDriver
from xfer.reenact.moments import Moment, blended, factor_moment, moments, parse_factors
from xfer.reenact.settings import Settings
from xfer.reenact.sheets import make_sheet
from xfer.reenact.studio import Studio, open_studio, say

PICTURES = (".png", ".jpg", ".jpeg")
LIVE = "live:"
"""Before the name of a camera."""

Given = Driver | dict[str, float]
"""A driver as opened: frames, or explicit factors."""


_detector = cache(open_detector)


class Desk:
    """One command's studio, settings and detector, the latter opened when it is first needed."""

    def __init__(self, studio: Studio, settings: Settings):
        self.studio, self.settings = studio, settings

    @property
    def detector(self) -> Detector | None:
        """None where nobody has to look for faces."""
        if self.settings.aligned and self.settings.read != "landmarks":
            return None
        return _detector(self.settings.landmarks)

    def driver(self, text: str) -> Given:
        """What a text names: a file, a camera, or factors."""
        if text.startswith(LIVE):
            return LiveDriver(text.removeprefix(LIVE), self.detector)
        factors = None if Path(text).exists() else parse_factors(text)
        if factors is not None:
            return factors
        if not Path(text).exists():
            raise MissingFile(f"there is no driver {text}")
        settings = self.settings
        return open_driver(text, self.detector, settings.smoothing_s, settings.aligned)

    def subject(self, texts: Sequence[str]) -> Subject:
        """The one person that the texts name, or one between two."""
        share = self.settings.between_identities
        if share is None:
            return open_identity(texts, self.studio, self.settings, self._looker(texts))
        expect(len(texts) == 2, f"between_identities takes two identities; got {len(texts)}")
        ends = [open_identity([t], self.studio, self.settings, self._looker([t])) for t in texts]
        return between_subjects(*ends, share, self.studio)

    def _looker(self, texts: Sequence[str]) -> Detector | None:
        """A detector, unless nothing is a photo."""
        return self.detector if any(Path(text).exists() for text in texts) else None

    def moments(self, given: Given, subject: Subject) -> Iterator[Moment]:
        """A driver's motions for a person."""
        if isinstance(given, dict):
            return iter([factor_moment(self.studio, subject.own, given)])
        settings = self.settings
        return moments(given, self.studio, subject.own, settings.read, settings.batch)

    def make(self, drivers: Sequence[Given], subject: Subject, out: Path) -> Made:
        """One output of one driver, or of the motion between two."""
        first = drivers[0]
        is_video = isinstance(first, Driver) and first.is_video
        found = self.moments(first, subject)
        if self.settings.between_drivers is not None:
            expect(len(drivers) == 2, f"between_drivers takes two drivers; got {len(drivers)}")
            second = self.moments(drivers[1], subject)
            found = blended(found, second, self.settings.between_drivers)
        if is_video:
            return make_video(out, first, found, subject, self.studio, self.settings)
        return make_picture(out, next(found), subject, self.studio, self.settings)


def transfer(
    driver: Sequence[str],
    identity: Sequence[str],
    out: str,
    settings: Settings,
    grid: bool = False,
    **weights: object,
) -> Iterator[Made]:
    """Show identities with drivers' motion; yields what was written, one after the other.

    Args:
        driver: Pictures, videos, folders of them, or factors.
        identity: Photos of one person, a latent, or random:SEED; of as many people with `grid`.
        out: A file; a folder where there are several drivers.
        grid: All drivers by all identities on one sheet.
        weights: Arguments of `open_studio`.
    """
    expect(driver, "a driver is needed: a picture, a video, a folder, or yaw_deg=20,smile=.5")
    _expect_kept([*driver, *identity], out)
    texts = [text for given in driver for text in _listed(given)]
    several = len(texts) > 1 or Path(driver[0]).is_dir()
    target = Path(out)
    if grid:
        _expect_suffix(target, False)
    elif several and settings.between_drivers is None:
        expect(
            target.suffix.lower() not in (*PICTURES, ".mp4"),
            f"{len(texts)} drivers give as many outputs: --out is a folder then; got {out}",
        )
    else:
        _expect_suffix(target, _moves(texts[0]))
    desk = Desk(open_studio(**weights), settings)
    if grid:
        yield _sheet(desk, texts, identity, target)
        return
    subject = desk.subject(identity)
    _expect_possible(desk, subject)
    if several and settings.between_drivers is None:
        yield from _batch(desk, texts, subject, target)
        return
    yield desk.make([desk.driver(text) for text in texts], subject, target)


def reenact(
    driver: str, identity: Sequence[str], out: str, settings: Settings, **weights: object
) -> Made:
    """A video of the identity with the motion of the driver's."""
    _expect_suffix(Path(out), True)
    expect(not Path(driver).is_dir(), f"one video drives; {driver} is a folder: use xfer transfer")
    (made,) = transfer([driver], identity, out, settings, **weights)
    return made


def _sheet(desk: Desk, drivers: Sequence[str], people: Sequence[str], out: Path) -> Made:
    expect(desk.settings.paste == "none", "a grid shows aligned pictures: leave --paste away")
    plain = replace(desk.settings, compare=False, between_drivers=None)
    opened = [desk.driver(text) for text in drivers]
    rows = []
    for text in people:
        subject = open_identity([text], desk.studio, plain, desk._looker([text]))
        rows.append((subject, [next(desk.moments(given, subject)) for given in opened]))
    return make_sheet(out, rows, desk.studio, plain)


def _batch(desk: Desk, texts: Sequence[str], subject: Subject, folder: Path) -> Iterator[Made]:
    """One output a driver; a bad driver costs only itself."""
    failed, names = [], _names(texts)
    for text, name in zip(texts, names, strict=True):
        try:
            given = desk.driver(text)
            video = isinstance(given, Driver) and given.is_video
            yield desk.make([given], subject, folder / f"{name}{'.mp4' if video else '.png'}")
        except XferError as error:
            failed.append(text)
            say(f"{text}: {error}")
    if failed:
        raise RunError(f"{len(failed)} of {len(texts)} drivers gave nothing, for the reasons above")


def _names(texts: Sequence[str]) -> list[str]:
    """Names of outputs, each used once."""
    names: list[str] = []
    for text in texts:
        stem = Path(text).stem if Path(text).exists() else text.replace("/", "_")
        number = sum(name == stem or name.startswith(f"{stem}-") for name in names)
        names.append(f"{stem}-{number + 1}" if stem in names else stem)
    return names


def _listed(text: str) -> list[str]:
    """The text, or the pictures and videos of the folder that it names."""
    folder = Path(text)
    if not folder.is_dir():
        return [text]
    found = [str(p) for p in sorted(folder.iterdir()) if p.is_file() and kind_of(p)]
    expect(found, f"there is no picture and no video in {text}")
    return found


def _moves(text: str) -> bool:
    """Whether a driver is a video or a camera."""
    return text.startswith(LIVE) or (Path(text).is_file() and kind_of(Path(text)) == "video")


def _expect_possible(desk: Desk, subject: Subject) -> None:
    """Refuse before a long driver is read what would fail after it."""
    expect(
        desk.settings.paste != "photo" or subject.photo is not None,
        f"there is no photo to paste into: the identity is {subject.name}; "
        "give a photo, or leave --paste away",
    )
    switches(desk.settings).apply(subject.own, subject.own, subject.own, desk.studio.controls)


def _expect_kept(inputs: Sequence[str], out: str) -> None:
    for text in inputs:
        if Path(text).exists() and Path(text).resolve() == Path(out).resolve():
            raise BadValue(f"{out} is an input: it would be written over; choose another --out")


def _expect_suffix(out: Path, video: bool) -> None:
    """Refuse a name before any work is done."""
    wanted, what = ((".mp4",), "a video") if video else (PICTURES, "a picture")
    expect(out.suffix.lower() in wanted, f"{what} is written as {', '.join(wanted)}; got {out}")
