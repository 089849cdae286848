"""Frames are gone through twice, decoded once where they fit."""

import numpy as np

from xfer.media.video import Frame
from xfer.prepare.frames import Remembered


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
