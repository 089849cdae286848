"""Frames are gone through twice, decoded once where they fit; folders of them in their order."""

import numpy as np
import pytest
from PIL import Image

from xfer.media.detectors import Box
from xfer.media.landmarks import Face
from xfer.media.video import Frame
from xfer.prepare import clip
from xfer.prepare.cutting import cut_out
from xfer.prepare.frames import Remembered, frames_of
from xfer.prepare.records import Settings, Sightings
from xfer.prepare.sources import Input


class Counted:
    """Ten small frames, and how often they were asked for."""

    skipped = 3

    def __init__(self):
        self.readings = 0

    def __iter__(self):
        self.readings += 1
        for number in range(10):
            yield Frame(np.full((2, 2, 3), number, np.uint8), number / 25, number)


def numbers(frames):
    return [int(frame.pixels[0, 0, 0]) for frame in frames]


def test_a_clip_that_fits_is_decoded_once():
    source = Counted()
    frames = Remembered(source, most_bytes=10 * 12)
    assert numbers(frames) == numbers(frames) == list(range(10))
    assert source.readings == 1 and frames.skipped == 3


def test_a_clip_that_does_not_fit_is_decoded_again():
    source = Counted()
    frames = Remembered(source, most_bytes=10 * 12 - 1)
    assert numbers(frames) == numbers(frames) == list(range(10))
    assert source.readings == 2


def test_a_reading_that_was_broken_off_leaves_nothing_behind():
    source = Counted()
    frames = Remembered(source)
    assert next(iter(frames)).number == 0
    assert numbers(frames) == list(range(10)) and source.readings == 2


@pytest.mark.parametrize("name", ["frame{}.png", "s2_{}.png", "{:03d}.png", "{}.png"])
def test_pictures_come_in_the_order_of_their_numbers(tmp_path, name):
    for number in range(12):
        Image.fromarray(np.full((2, 2, 3), number, np.uint8)).save(tmp_path / name.format(number))
    (tmp_path / ".hidden.png").write_bytes(b"")
    frames = frames_of(Input(0, str(tmp_path), "frames", "a", "a"), fps=10)
    assert numbers(frames) == list(range(12)) and frames.skipped == 0


def test_every_frame_that_is_read_again_is_a_sign_of_life(tmp_path):
    """Also those before a late shot, which may take minutes to decode."""
    points = np.random.default_rng(0).uniform(20, 60, (68, 2)).astype(np.float32)
    frames = [Frame(np.zeros((80, 80, 3), np.uint8), n / 10, n) for n in range(12)]
    seen = Sightings([10, 11], [1.0, 1.1], [1, 1], [points] * 2, [0, 0])
    job, beats = Input(0, "", "video", "a", "a"), []
    cut_out(job, frames, seen, Settings(size=8), tmp_path / "a.tar", beats.append)
    assert beats == list(range(12))


def test_a_face_taken_up_elsewhere_begins_a_shot_of_its_own(monkeypatch, tmp_path):
    read = np.random.default_rng(0).uniform(20, 60, (68, 2)).astype(np.float32)

    class Exchanging:
        """A tracker that loses its face after four frames and takes up another one."""

        def __init__(self, _):
            self.found = self.takes = 0

        def find(self, _):
            self.found, self.takes = self.found + 1, int(self.found >= 4)
            return Face(read, Box(0, 0, 9, 9, 1.0), 0)

    monkeypatch.setattr(clip, "Tracker", Exchanging)
    monkeypatch.setattr(clip, "_detector", lambda name: None)
    for number in range(10):
        Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / f"{number}.png")
    job = Input(0, str(tmp_path), "frames", "a", "a")
    facts = clip.prepare_clip(job, Settings(size=8), tmp_path / "part", lambda _: None)
    assert facts["frames_kept"] == 6 and facts["cuts"] == 0
    assert "1 times the face was lost and one elsewhere taken up" in facts["reason"]
