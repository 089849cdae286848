"""What is wrong with a command is said before any weights are opened or any video is read."""

from collections.abc import Sequence
from pathlib import Path

from xfer.errors import BadValue, MissingFile, expect
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
    """What lies between two needs two, and has no place on a sheet of all."""
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


def expect_kept(inputs: Sequence[str], out: str) -> None:
    for text in inputs:
        if Path(text).exists() and Path(text).resolve() == Path(out).resolve():
            raise BadValue(f"{out} is an input: it would be written over; choose another --out")


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
