"""The main face of a picture, and of a video: which one it is, and its 68 landmarks.

In a picture the main face is the largest, the middle one where two are equally large. In a video
it is the same face throughout: the next frame is searched around the last place, and a face that
was lost is looked for everywhere.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from xfer.media.detectors import Box, Detector, Points
from xfer.media.pictures import Pixels

SEARCH_SIDE = 640
"""Pictures are searched at this length of their longer side, small faces at twice that."""
SMALL_SIDE = 320
"""Smaller pictures are enlarged to this length first."""
TURNS_DEG = (-45, 45, 90, -90, 180)
"""Further positions of the picture, tried where no upright face is found."""
TILTED_DEG = 10.0
"""From this roll on, landmarks are read with the head turned upright."""
DEEP_EVERY = 25
"""Frames without a face between two thorough searches of a video."""


class Face(NamedTuple):
    """A face and its landmarks."""

    points: Points
    box: Box
    others: int
    """How many more faces were in sight."""


def find_face(detector: Detector, pixels: Pixels) -> Face | None:
    """The main face of a picture; None if there is none.

    Small, large and turned faces are looked for in this order, each only where the last search
    found nothing.
    """
    boxes = _search(detector, pixels, _first_scale(pixels)) or _search_closely(detector, pixels)
    if boxes:
        return _read(detector, pixels, boxes)
    return _find_turned(detector, pixels)


def _first_scale(pixels: Pixels) -> float:
    longer = max(pixels.shape[:2])
    return min(1.0, SEARCH_SIDE / longer) if longer > SMALL_SIDE else SMALL_SIDE / longer


def _search(
    detector: Detector, pixels: Pixels, scale: float, least: float | None = None
) -> list[Box]:
    """Faces seen at one scale, likely ones only."""
    least = detector.least_score if least is None else least
    return [b.moved(1 / scale) for b in detector.boxes(_scaled(pixels, scale)) if b.score >= least]


def _search_closely(detector: Detector, pixels: Pixels) -> list[Box]:
    """At twice the scale for small faces, and with a margin for faces that fill the picture."""
    margin = round(0.2 * max(pixels.shape[:2]))
    if max(pixels.shape[:2]) > 4 * min(pixels.shape[:2]):
        return _search(detector, pixels, 2 * _first_scale(pixels))
    padded = np.pad(pixels, [(margin, margin), (margin, margin), (0, 0)], mode="edge")
    found = _search(detector, padded, 2 * _first_scale(pixels))
    return [box.moved(1.0, -margin, -margin) for box in found]


def _find_turned(detector: Detector, pixels: Pixels) -> Face | None:
    """A face lying on its side or upside down; only a sure one counts."""
    small = _scaled(pixels, _first_scale(pixels))
    best: tuple[float, int] | None = None
    for turn in TURNS_DEG:
        turned = np.array(Image.fromarray(small).rotate(turn, Image.Resampling.BILINEAR, True))
        for box in _search(detector, turned, 1.0, detector.sure_score):
            if best is None or box.score > best[0]:
                best = box.score, turn
    if best is None:
        return None
    turned = np.array(Image.fromarray(pixels).rotate(best[1], Image.Resampling.BILINEAR, True))
    boxes = _search(detector, turned, _first_scale(turned))
    if not boxes:
        return None
    face = _read(detector, turned, boxes)
    points = _turn_back(face.points, best[1], turned.shape, pixels.shape)
    low, high = points.min(0), points.max(0)
    return Face(points, Box(*map(float, (*low, *high)), face.box.score), face.others)


def _turn_back(points: Points, turn_deg: float, turned: tuple, upright: tuple) -> Points:
    """From the picture that `Image.rotate` gave (counter-clockwise about its middle) to its own."""
    angle = math.radians(turn_deg)
    middle = (np.array(turned[1::-1]) - 1) / 2, (np.array(upright[1::-1]) - 1) / 2
    x, y = (points - middle[0]).T
    back = np.stack(
        [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)], 1
    )
    return (back + middle[1]).astype(np.float32)


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))


def _read(detector: Detector, pixels: Pixels, boxes: list[Box]) -> Face:
    """The landmarks of the main one of several faces; doubtful ones count only among themselves."""
    boxes = [box for box in boxes if box.score >= detector.sure_score] or boxes
    main = max(boxes, key=lambda box: _prominence(box, pixels))
    return Face(_points(detector, pixels, main), main, len(boxes) - 1)


def _points(detector: Detector, pixels: Pixels, box: Box) -> Points:
    """The landmarks in a box; those of a tilted head are read again with the head upright."""
    points = detector.points(pixels, box)
    roll = _roll_deg(points)
    if abs(roll) < TILTED_DEG:
        return points
    (x, y), reach = box.center, math.ceil(1.5 * box.side)
    left, top = round(x) - reach, round(y) - reach
    window = Image.fromarray(pixels).crop((left, top, left + 2 * reach + 1, top + 2 * reach + 1))
    turn = 0.0
    for _ in range(3):
        turn += roll
        upright = np.array(window.rotate(turn, Image.Resampling.BILINEAR))
        points = detector.points(upright, box.moved(1.0, -left, -top))
        roll = _roll_deg(points)
        if abs(roll) < TILTED_DEG:
            break
    return _turn_back(points, turn, upright.shape, upright.shape) + np.float32([left, top])


def _roll_deg(points: Points) -> float:
    """Clockwise tilt of the line through the eyes."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    return math.degrees(math.atan2(across[1], across[0]))


def _prominence(box: Box, pixels: Pixels) -> float:
    """Size, a little less towards the picture's edge."""
    height, width = pixels.shape[:2]
    x, y = box.center
    offset = math.hypot(x / width - 0.5, y / height - 0.5)
    return box.side * (1 - 0.3 * min(offset, 1.0))


class Tracker:
    """Follows the main face through the frames of one video, in order."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._last: Box | None = None
        self._lost_for = 0

    def find(self, pixels: Pixels) -> Face | None:
        """The face in the next frame; None while it is out of sight."""
        face = self._near(pixels) or self._anywhere(pixels)
        if face is None:
            self._lost_for += 1
            if self._lost_for > DEEP_EVERY:
                self._last = None
        else:
            self._last, self._lost_for = face.box, 0
        return face

    def reset(self) -> None:
        """Forget the face, as at a cut."""
        self._last, self._lost_for = None, 0

    def _near(self, pixels: Pixels) -> Face | None:
        """Around the last place, at a scale where the face is just well above the least size."""
        last = self._last
        if last is None or self._lost_for > 0:
            return None
        height, width = pixels.shape[:2]
        x, y = last.center
        left, right = (int(np.clip(x + d * last.side, 0, width)) for d in (-1, 1))
        top, bottom = (int(np.clip(y + d * last.side, 0, height)) for d in (-1, 1))
        if right - left < 8 or bottom - top < 8:
            return None
        window = np.ascontiguousarray(pixels[top:bottom, left:right])
        scale = 1.4 * self._detector.least_side / last.side
        found = self._detector.boxes(_scaled(window, scale))
        boxes = [box.moved(1 / scale, left, top) for box in found]
        boxes = [box for box in boxes if _overlap(box, last) > 0.25]
        if not boxes:
            return None
        best = max(boxes, key=lambda box: _overlap(box, last))
        return Face(_points(self._detector, pixels, best), best, 0)

    def _anywhere(self, pixels: Pixels) -> Face | None:
        """In the whole frame: the face nearest to the last place, or else the main one."""
        if self._last is None:
            deep = self._lost_for % DEEP_EVERY == 0
            if deep:
                return find_face(self._detector, pixels)
        boxes = _search(self._detector, pixels, _first_scale(pixels))
        if not boxes:
            return None
        if self._last is None:
            return _read(self._detector, pixels, boxes)
        near = [box for box in boxes if _overlap(box, self._last) > 0.1]
        return _read(self._detector, pixels, near or boxes)


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    area = lambda box: (box.right - box.left) * (box.bottom - box.top)
    return shared / max(area(one) + area(other) - shared, 1e-9)
