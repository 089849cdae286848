"""Who is followed where several people are in view, on faces that are bright squares."""

import numpy as np
import pytest
from scipy import ndimage

from xfer.media import tracking
from xfer.media.detectors import Box
from xfer.media.landmarks import find_face
from xfer.media.tracking import PATIENCE, Tracker

MAIN, OTHER = (440, 100), (180, 100)


class Squares:
    """Takes every bright square for a face; the landmarks are its middle."""

    name, least_score, sure_score, least_side = "squares", 0.0, 0.6, 40.0

    def __init__(self, least_side=least_side):
        self.least_side, self.most_pixels = least_side, 0

    def boxes(self, pixels):
        self.most_pixels = max(self.most_pixels, pixels.shape[0] * pixels.shape[1])
        labels, _ = ndimage.label(pixels[..., 0] > 128)
        return [Box(x.start, y.start, x.stop, y.stop, 1.0) for y, x in ndimage.find_objects(labels)]

    def points(self, pixels, box):
        return np.tile(np.float32(box.center), (68, 1)) + np.eye(68, 2, -42, np.float32)


def frame(*centers, side=60):
    """Squares at these places; the first one is a little larger."""
    pixels = np.zeros((200, 640, 3), np.uint8)
    for number, (x, y) in enumerate(centers):
        half = side // 2 - 3 * number
        pixels[y - half : y + half, x - half : x + half] = 255
    return pixels


def followed(tracker, *frames):
    """Where the face is found, left to right, frame by frame."""
    faces = [tracker.find(pixels) for pixels in frames]
    return [face and round(float(face.box.center[0])) for face in faces]


def test_a_face_missed_for_a_moment_is_not_exchanged_for_another():
    tracker, both, hidden = Tracker(Squares()), frame(MAIN, OTHER), frame(OTHER)
    assert followed(tracker, both, hidden, both, hidden, hidden, both) == [
        440, None, 440, None, None, 440,
    ]  # fmt: skip
    assert tracker.takes == 0


def test_a_face_gone_for_long_is_given_up_and_the_next_one_counted():
    tracker, both, hidden = Tracker(Squares()), frame(MAIN, OTHER), frame(OTHER)
    places = followed(tracker, both, *[hidden] * (PATIENCE + 2))
    assert places == [440, *[None] * PATIENCE, 180, 180]
    assert tracker.takes == 1
    assert followed(tracker, both) == [180]


def test_a_face_that_comes_back_to_its_place_is_the_same_however_long_it_was_gone():
    tracker, empty = Tracker(Squares()), frame()
    places = followed(tracker, frame(MAIN), *[empty] * 60, frame(OTHER, MAIN))
    assert places == [440, *[None] * 60, 440]
    assert tracker.takes == 0


@pytest.mark.parametrize("gap", [0, 3])
def test_one_who_moves_fast_is_not_lost(gap):
    tracker, places = Tracker(Squares()), (100, 200, 310, 420, 310)
    for x in places:
        assert followed(tracker, frame((x, 100)))[0] == x
        followed(tracker, *[frame()] * gap)
    assert tracker.takes == 0


def test_others_are_counted_while_a_face_is_followed(monkeypatch):
    monkeypatch.setattr(tracking, "LOOK_AROUND_EVERY", 4)
    tracker = Tracker(Squares())
    frames = [frame(MAIN, OTHER)] * 3 + [frame(MAIN)] * 4 + [frame(MAIN, OTHER)] * 4
    counts = [tracker.find(pixels).others for pixels in frames]
    # What is seen of the whole frame is up to three frames old.
    assert counts == [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("least_side, scale", [(80.0, 2), (60.0, 1)])
def test_only_who_sees_small_faces_badly_is_shown_the_picture_enlarged(least_side, scale):
    detector = Squares(least_side)
    assert find_face(detector, np.zeros((180, 320, 3), np.uint8)) is None
    padded = (320 + 128) * (180 + 128) * scale**2
    assert detector.most_pixels == pytest.approx(padded, rel=0.01)
