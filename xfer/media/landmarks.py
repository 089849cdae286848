"""The main face of a picture, and its 68 landmarks.

It is the largest one, and of two that are equally large the one nearer to the middle.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from xfer.media.detectors import Box, Detector, Points
from xfer.media.pictures import Pixels
from xfer.media.turning import turned, turned_back

SEARCH_SIDE = 640
"""Pictures are searched at this length of their longer side."""
SMALL_SIDE = 320
"""Smaller pictures are enlarged to this length first."""
ENLARGED_FROM = 64.0
"""Detectors that see only faces larger than this well are shown small ones at twice the scale.

The others, networks, need no such help, and S3FD would take 2 GB for it.
"""
TURNS_DEG = (-45.0, 45.0, 90.0, -90.0, 180.0)
"""Further positions of the picture, tried where no upright face is found."""
MOST_DOUBTFUL = 4
"""So many doubtful faces of a picture are looked at again."""
TILTED_DEG = 10.0
"""From this roll on, landmarks are read with the head turned upright."""
SECOND_LOOKS = 1.3, 1.8
"""Scales, in least sizes of a face, at which doubtful faces are looked at again."""


class Face(NamedTuple):
    """A face and its landmarks."""

    points: Points
    box: Box
    others: int
    """How many more faces were in sight."""


def find_face(detector: Detector, pixels: Pixels) -> Face | None:
    """The main face of a picture; None if there is none.

    Small, large and turned faces are looked for in this order, each only where the last search
    found nothing sure.
    """
    face, turn = find_with_turn(detector, pixels)
    return face and turned_face_back(face, turn, turned(pixels, turn), pixels)


def find_with_turn(detector: Detector, pixels: Pixels) -> tuple[Face | None, float]:
    """The main face, and the turn in degrees that brings it upright, and in which it is given."""
    face = None
    for search in (search_quickly, _search_closely):
        boxes = believable(detector, pixels, search(detector, pixels))
        if boxes:
            face = read_main(detector, pixels, boxes)
            break
    if face is None or face.box.score < detector.sure_score:
        turn = _best_turn(detector, pixels)
        upright = turned(pixels, turn)
        boxes = _search(detector, upright, _first_scale(upright)) if turn else []
        if boxes:
            return read_main(detector, upright, boxes), turn
    return face, 0.0


def turned_face_back(face: Face, turn: float, of: Pixels, into: Pixels) -> Face:
    """A face of the turned picture in coordinates of the picture itself."""
    if turn == 0:
        return face
    points = turned_back(face.points, turn, of.shape, into.shape)
    low, high = points.min(0), points.max(0)
    return Face(points, Box(*map(float, (*low, *high)), face.box.score), face.others)


def _first_scale(pixels: Pixels) -> float:
    longer = max(pixels.shape[:2])
    return min(1.0, SEARCH_SIDE / longer) if longer > SMALL_SIDE else SMALL_SIDE / longer


def _search(detector: Detector, pixels: Pixels, scale: float) -> list[Box]:
    """Faces seen at one scale, likely ones only."""
    found = detector.boxes(_scaled(pixels, scale))
    return [box.moved(1 / scale) for box in found if box.score >= detector.least_score]


def search_quickly(detector: Detector, pixels: Pixels) -> list[Box]:
    return _search(detector, pixels, _first_scale(pixels))


def believable(detector: Detector, pixels: Pixels, boxes: list[Box]) -> list[Box]:
    """The sure faces; where there are none, the doubtful ones that are seen at other scales too.

    What only looks like a face does so at one scale; a face keeps its score at all of them.
    """
    sure = [box for box in boxes if box.score >= detector.sure_score]
    likeliest = sorted(boxes, key=lambda box: -box.score)[:MOST_DOUBTFUL]
    return sure or [box for box in likeliest if _is_confirmed(detector, pixels, box)]


def _is_confirmed(detector: Detector, pixels: Pixels, box: Box) -> bool:
    scores = [box.score]
    for scale in SECOND_LOOKS:
        found = search_near(detector, pixels, box, scale)
        scores.append(max((b.score for b in found), default=detector.least_score - 0.3))
    return sum(scores) / len(scores) >= detector.least_score + 0.05


def search_near(detector: Detector, pixels: Pixels, last: Box, scale: float) -> list[Box]:
    """Faces about the place of `last`, which is shown at `scale` times the least size."""
    height, width = pixels.shape[:2]
    x, y = last.center
    left, right = (int(np.clip(x + d * last.side, 0, width)) for d in (-1, 1))
    top, bottom = (int(np.clip(y + d * last.side, 0, height)) for d in (-1, 1))
    if right - left < 8 or bottom - top < 8:
        return []
    window = np.ascontiguousarray(pixels[top:bottom, left:right])
    scale *= detector.least_side / last.side
    found = [box.moved(1 / scale, left, top) for box in detector.boxes(_scaled(window, scale))]
    return [box for box in found if overlap(box, last) > 0.25]


def _search_closely(detector: Detector, pixels: Pixels) -> list[Box]:
    """Enlarged for small faces, and with a margin for faces that fill the picture."""
    enlarged = 2 if detector.least_side > ENLARGED_FROM else 1
    scale = enlarged * _first_scale(pixels)
    margin = round(0.2 * max(pixels.shape[:2]))
    if max(pixels.shape[:2]) > 4 * min(pixels.shape[:2]):
        return _search(detector, pixels, scale)
    padded = np.pad(pixels, [(margin, margin), (margin, margin), (0, 0)], mode="edge")
    found = _search(detector, padded, scale)
    return [box.moved(1.0, -margin, -margin) for box in found]


def _best_turn(detector: Detector, pixels: Pixels) -> float:
    """The turn that shows a face that lies on its side or upside down; 0 if no sure one does."""
    small, best, score = _scaled(pixels, _first_scale(pixels)), 0.0, detector.sure_score
    for turn in TURNS_DEG:
        for box in detector.boxes(turned(small, turn)):
            if box.score >= score:
                best, score = turn, box.score
    return best


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))


def read_main(detector: Detector, pixels: Pixels, boxes: list[Box]) -> Face:
    """The landmarks of the main one of several faces."""
    main = max(boxes, key=lambda box: _prominence(box, pixels))
    return Face(read_points(detector, pixels, main), main, len(boxes) - 1)


def read_points(detector: Detector, pixels: Pixels, box: Box) -> Points:
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
    return turned_back(points, turn, upright.shape, upright.shape) + np.float32([left, top])


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


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    area = lambda box: (box.right - box.left) * (box.bottom - box.top)
    return shared / max(area(one) + area(other) - shared, 1e-9)
