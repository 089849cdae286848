"""`xfer transfer` and `xfer reenact` with the texts of a command line."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TypeVar

from xfer.errors import RunError, XferError, expect
from xfer.media.kinds import kind_of
from xfer.reenact.checks import (
    PICTURES,
    expect_counts,
    expect_film,
    expect_kept,
    expect_named,
    expect_suffix,
    expect_writable,
    moves,
    opens_as_video,
)
from xfer.reenact.desk import LIVE, Desk
from xfer.reenact.filming import Made, switches
from xfer.reenact.identities import Subject
from xfer.reenact.moments import Moment
from xfer.reenact.settings import Settings
from xfer.reenact.sheets import make_sheet
from xfer.reenact.studio import open_studio, say

Found = TypeVar("Found")


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
    expect_named(driver, identity)
    texts = [text for given in driver for text in _listed(given)]
    expect_counts(texts, identity, settings, grid)
    between = settings.between_drivers is not None
    several = not (grid or between) and (len(texts) > 1 or Path(driver[0]).is_dir())
    target = Path(out)
    targets = _targets(texts, target) if several else [target]
    expect_kept([*driver, *identity], [target, *targets])
    if grid:
        expect_suffix(target, False)
    elif several:
        expect(
            target.suffix.lower() not in (*PICTURES, ".mp4"),
            f"{len(texts)} drivers give as many outputs: --out is a folder then; got {out}",
        )
    else:
        expect_suffix(target, opens_as_video(texts[0]))
    for path in targets:
        expect_writable(path)
    desk = Desk(open_studio(**weights), settings)
    if settings.relative:
        _remark_on_stills(texts[:1] if between else texts, grid)
    if grid:
        yield from _sheet(desk, texts, identity, target)
        return
    subject = desk.subject(identity)
    _expect_possible(desk, subject)
    if several:
        yield from _batch(desk, texts, subject, targets)
        return
    yield desk.make([desk.driver(text) for text in texts], subject, target)


def reenact(
    driver: str | Sequence[str],
    identity: Sequence[str],
    out: str,
    settings: Settings,
    **weights: object,
) -> Made:
    """A video of the identity with the motion of the driver's, or of the motion between two."""
    drivers = [driver] if isinstance(driver, str) else list(driver)
    expect_named(drivers, identity)
    most = 1 if settings.between_drivers is None else 2
    expect(
        len(drivers) == most,
        f"one video drives, or two with --between-drivers; got {len(drivers)} "
        f"{'with' if most == 2 else 'without'} it; xfer transfer takes any number",
    )
    expect_film(drivers[0])
    expect_suffix(Path(out), True)
    (made,) = transfer(drivers, identity, out, settings, **weights)
    return made


def _sheet(desk: Desk, drivers: Sequence[str], people: Sequence[str], out: Path) -> Iterator[Made]:
    """One sheet; a bad driver or identity costs only its own column or row."""
    expect(desk.settings.paste == "none", "a grid shows aligned pictures: leave --paste away")
    failed: list[str] = []
    subjects = list(_each(people, lambda text: desk.subject([text]), failed))
    for subject in subjects[:1]:
        _expect_possible(desk, subject)

    def column(text: str) -> list[Moment]:
        given = desk.driver(text, only_first=True)
        return [next(desk.moments(given, subject)) for subject in subjects]

    columns = list(_each(drivers, column, failed)) if subjects else []
    if columns:
        rows = list(zip(subjects, zip(*columns, strict=True), strict=True))
        yield make_sheet(out, rows, desk.studio, replace(desk.settings, compare=False))
    _expect_none(failed, f"{len(drivers) + len(people)} drivers and identities")


def _batch(
    desk: Desk, texts: Sequence[str], subject: Subject, targets: Sequence[Path]
) -> Iterator[Made]:
    """One output a driver; a bad driver costs only itself."""
    failed: list[str] = []
    outs = iter(targets)

    def one(text: str) -> Made:
        out = next(outs)
        return desk.make([desk.driver(text)], subject, out)

    yield from _each(texts, one, failed)
    _expect_none(failed, f"{len(texts)} drivers")


def _each(texts: Sequence[str], make: Callable[[str], Found], failed: list[str]) -> Iterator[Found]:
    """What is made of every text; says of which nothing can be made, and adds it to `failed`."""
    for text in texts:
        try:
            made = make(text)
        except XferError as error:
            failed.append(text)
            say(f"{text}: {error}")
        else:
            yield made


def _expect_none(failed: Sequence[str], of: str) -> None:
    if failed:
        raise RunError(f"{len(failed)} of {of} gave nothing, for the reasons above")


def _targets(texts: Sequence[str], folder: Path) -> list[Path]:
    """One output a driver, named after it; a name that is taken, in any case, gets a number."""
    targets, taken = [], set()
    for text in texts:
        path = Path(text.removeprefix(LIVE))
        stem = path.stem if path.exists() else text.replace("/", "_")
        numbered = chain([stem], (f"{stem}-{number}" for number in count(2)))
        name = next(name for name in numbered if name.casefold() not in taken)
        taken.add(name.casefold())
        targets.append(folder / f"{name}{'.mp4' if moves(text) else '.png'}")
    return targets


def _listed(text: str) -> list[str]:
    """The text, or the pictures and videos of the folder that it names."""
    folder = Path(text)
    if not folder.is_dir():
        return [text]
    found = [str(p) for p in sorted(folder.iterdir()) if p.is_file() and kind_of(p)]
    expect(found, f"there is no picture and no video in {text}")
    return found


def _remark_on_stills(texts: Sequence[str], grid: bool) -> None:
    """Relative motion begins with a driver's first frame, and ends there for a picture."""
    still = [text for text in texts if grid or not moves(text)]
    if still:
        more = f" (and {len(still) - 1} more)" if still[1:] else ""
        say(
            "--relative takes over what changes after a driver's first frame; from "
            f"{still[0]}{more} one picture is taken, which leaves the person's own motion"
        )


def _expect_possible(desk: Desk, subject: Subject) -> None:
    """Refuse before a long driver is read what would fail after it."""
    expect(
        desk.settings.paste != "photo" or subject.photo is not None,
        f"there is no photo to paste into: the identity is {subject.name}; "
        "give a photo, or leave --paste away",
    )
    controls, parts = desk.studio.controls, desk.settings.only
    switches(desk.settings).apply(subject.own, subject.own, subject.own, controls)
    lacking = controls.lacking(parts) if controls else []
    if lacking:
        say(
            f"these weights have no control of {', '.join(lacking)}: --only {' '.join(parts)} "
            "takes over what others tell"
        )
