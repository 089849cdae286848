"""Cameras: a film begins with the first face, and whatever ends it keeps what was filmed."""

import numpy as np
import pytest

from xfer.errors import NoFace
from xfer.reenact import live
from xfer.reenact.live import LiveDriver
from xfer.reenact.places import whole_place

PATIENCE = 3


class Camera:
    """Shows a face for every f, nothing for a dot; then its plug is pulled out for an x."""

    def __init__(self, shown: str):
        self.shown = shown

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, video):
        for shown in self.shown:
            if shown == "x":
                raise OSError(19, "No such device")
            yield Picture(np.full((32, 32, 3), 200 if shown == "f" else 0, np.uint8))


class Picture:
    def __init__(self, pixels):
        self.pixels = pixels

    def to_ndarray(self, format):
        return self.pixels


@pytest.fixture
def filmed(monkeypatch):
    """What a camera gives as a driver: f for a face in sight, a dot for none."""
    monkeypatch.setattr(live, "PATIENCE", PATIENCE)
    seen = lambda _, frame, __: whole_place(frame.pixels) if frame.pixels.any() else None
    monkeypatch.setattr(LiveDriver, "_place", seen)

    def film(shown):
        monkeypatch.setattr(live, "_opened", lambda _: Camera(shown))
        sights = list(LiveDriver("cam", None))
        assert [sight.frame.number for sight in sights] == list(range(len(sights)))
        assert sights[0].frame.time == 0
        return "".join("f" if sight.place else "." for sight in sights)

    return film


def test_a_film_begins_with_the_first_face(filmed, capsys):
    assert filmed("..ff.f") == "ff.f"
    assert capsys.readouterr().err == "cam: 2 frames before the first face are left out\n"


def test_what_ends_a_film_keeps_it_and_is_said(filmed, capsys):
    for shown, kept, said in (
        ("ff....ff", "ff....", "cam has shown no face for 3 frames: the film ends"),
        ("ff.x", "ff.", "cam gives no more frames: No such device"),
    ):
        assert filmed(shown) == kept
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("shown, frames", [(".....", 4), ("..", 2), (".x", 1), ("", 0)])
def test_a_camera_that_shows_nobody_gives_no_film(shown, frames, filmed):
    with pytest.raises(NoFace, match=f"cam has shown no face in {frames} frames"):
        filmed(shown)
