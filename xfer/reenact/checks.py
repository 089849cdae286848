"""What is wrong with a command is said before any weights are opened or any video is read."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from xfer.errors import BadValue, MissingFile, UnwritableFile, expect
from xfer.media.kinds import kind_of
from xfer.media.video import VideoReader
from xfer.reenact.desk import LIVE, given_factors
from xfer.reenact.settings import Settings

PICTURES = (".png", ".jpg", ".jpeg")


def expect_named(drivers: Sequence[str], people: Sequence[str]) -> None:
    kinds = "a picture, a video, a folder, or yaw_deg=20,smile=.5"
    expect(drivers and all(text.strip() for text in drivers), f"a driver is needed: {kinds}")
    expect(
        people and all(text.strip() for text in people),
        "an identity is needed: a photo, a latent or random:SEED",
    )


def expect_counts(
    drivers: Sequence[str], people: Sequence[str], settings: Settings, grid: bool
) -> None:
    """What lies between two needs two, and has no place on a sheet of all; nor has a camera."""
    cameras = [text for text in drivers if text.startswith(LIVE)]
    expect(
        not (grid and cameras),
        f"a grid shows pictures and the first frames of videos; got the camera {cameras}",
    )
    for name, texts in (("drivers", drivers), ("identities", people)):
        if getattr(settings, f"between_{name}") is not None:
            expect(not grid, f"a grid shows all {name} as they are: leave --between-{name} away")
            expect(len(texts) == 2, f"between_{name} takes two {name}; got {len(texts)}")


def expect_film(text: str) -> None:
    """Refuse a driver of `reenact` that is no video, and say what takes it."""
    path, told = Path(text), "a video or a camera drives a film"
    expect(not path.is_dir(), f"one video drives; {text} is a folder: use xfer transfer")
    if text.startswith(LIVE):
        return
    if given_factors(text) is not None:
        raise BadValue(f"{told}, and '{text}' is one pose: xfer transfer draws a picture of it")
    if not path.exists():
        raise MissingFile(f"there is no driver {text}")
    kind = kind_of(path)
    expect(kind != "picture", f"{told}, and {text} is a picture: use xfer transfer")
    expect(kind, f"{told}, and {text} is neither a video nor a picture")


def expect_kept(inputs: Sequence[str], outputs: Sequence[Path]) -> None:
    """Refuse outputs that are inputs, by whatever path, or lie in an input's folder as inputs."""
    kept = {_file(path) for text in inputs for path in _given(text)}
    for out in outputs:
        if out.exists() and _file(out) in kept:
            raise BadValue(f"{out} is an input: it would be written over; choose another --out")


def _given(text: str) -> Iterator[Path]:
    """What a text names that exists: a file, or a folder and all that is in it."""
    path = Path(text.removeprefix(LIVE))
    if path.exists():
        yield path
    if path.is_dir():
        yield from (inner for inner in path.iterdir() if inner.exists())


def _file(path: Path) -> tuple[int, int]:
    """The same for all paths of one file, also where capitals make no difference."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def expect_writable(out: Path) -> None:
    """Refuse what would be noticed only when all is read: a folder of that name, no permission."""
    folder = next(path for path in out.absolute().parents if os.path.exists(path))
    if out.is_dir():
        raise UnwritableFile(f"{out} cannot be written: it is a folder; choose another --out")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        what = "may not be written to" if folder.is_dir() else "is no folder"
        raise UnwritableFile(f"{out} cannot be written: {folder} {what}; choose another --out")


def expect_suffix(out: Path, video: bool) -> None:
    """Refuse a name before any work is done."""
    wanted, what = ((".mp4",), "a video") if video else (PICTURES, "a picture")
    expect(out.suffix.lower() in wanted, f"{what} is written as {', '.join(wanted)}; got {out}")


def moves(text: str) -> bool:
    """Whether a driver is a video or a camera."""
    return text.startswith(LIVE) or (Path(text).is_file() and kind_of(Path(text)) == "video")


def opens_as_video(text: str) -> bool:
    """The same; a damaged video says so here, before anything is said of the output's name."""
    is_video = moves(text)
    if is_video and not text.startswith(LIVE):
        VideoReader(text)
    return is_video
