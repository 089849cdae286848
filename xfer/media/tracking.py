"""The main face of a video: the same one throughout.

The next frame is searched around the last place; a face that was lost is looked for everywhere,
and only one that can be the same is taken for it. After a long time out of sight any face is taken
up, and counted: it may be another person's.
A video whose pictures lie on their side is turned for the search, and the landmarks turned back.
"""

import math

from xfer.media.detectors import Box, Detector
from xfer.media.landmarks import (
    Face,
    believable,
    find_with_turn,
    overlap,
    read_main,
    read_points,
    search_near,
    search_quickly,
    turned_face_back,
)
from xfer.media.pictures import Pixels
from xfer.media.turning import turned

TRACKED = 1.4
"""Scale, in least sizes of a face, at which a followed face is looked at."""
DOUBT = 0.2
"""How far below the least score a followed face may fall for a while."""
PATIENCE = 25
"""Frames without the face after which another one may be taken up."""
DEEP_EVERY = 25
"""Frames without a face between two thorough searches of a video."""
LOOK_AROUND_EVERY = 50
"""Frames after which the whole frame is looked at while a face is followed: who else is there?"""
REACH_ALONE, REACH_BESIDE = 2.0, 1.0
"""How far a face may have moved unseen, in its own sides: beside others less than to the next."""
LIKE_SIZE = 1.6
"""How many times larger or smaller it may have become meanwhile."""


class Tracker:
    """Follows the main face through the frames of one video, in order.

    Attributes:
        takes: How often the face was given up and one elsewhere, maybe of another person, taken up.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector, self.takes = detector, 0
        self.reset()

    def find(self, pixels: Pixels) -> Face | None:
        """The face in the next frame; None while it is out of sight."""
        upright = turned(pixels, self._turn)
        face, turn = self._near(upright), self._turn
        if face is None:
            face, turn = self._anywhere(pixels, upright)
        if face is None:
            self._lost_for += 1
            return None
        if turn != self._turn:
            upright = turned(pixels, turn)
        elsewhere = turn != self._turn or not self._may_be(face.box)
        if self._last is not None and self._is_given_up() and elsewhere:
            self.takes += 1
        self._last, self._turn = face.box, turn
        self._lost_for, self._others = 0, face.others
        return turned_face_back(face, turn, upright, pixels)

    def reset(self) -> None:
        """Forget the face, as at a cut."""
        self._last: Box | None = None
        self._lost_for = self._others = self._not_around = 0
        self._turn = 0.0

    def _is_given_up(self) -> bool:
        return self._last is None or self._lost_for >= PATIENCE

    def _may_be(self, box: Box) -> bool:
        """Whether this can be the face that was last seen."""
        if self._last is None:
            return False
        reach = REACH_BESIDE if self._others else REACH_ALONE
        ratio = box.side / max(self._last.side, 1e-9)
        return self._distance(box) <= reach and 1 / LIKE_SIZE <= ratio <= LIKE_SIZE

    def _distance(self, box: Box) -> float:
        """From the last place, in sides of the face there."""
        return math.dist(box.center, self._last.center) / max(self._last.side, 1e-9)

    def _near(self, upright: Pixels) -> Face | None:
        """Around the last place, at a scale where the face is a little above the least size."""
        last = self._last
        if last is None or self._lost_for > 0:
            return None
        least = self._detector.least_score - DOUBT
        boxes = search_near(self._detector, upright, last, TRACKED)
        boxes = [box for box in boxes if box.score >= least]
        if not boxes:
            return None
        best = max(boxes, key=lambda box: overlap(box, last))
        others = self._others
        self._not_around += 1
        if self._not_around >= LOOK_AROUND_EVERY:
            others = self._beside(search_quickly(self._detector, upright), best)
        return Face(read_points(self._detector, upright, best), best, others)

    def _anywhere(self, pixels: Pixels, upright: Pixels) -> tuple[Face | None, float]:
        """In the whole frame: the face that was lost, or, once it is given up, the main one."""
        thoroughly = self._is_given_up() and self._lost_for % DEEP_EVERY == 0
        if self._last is None and thoroughly:
            return find_with_turn(self._detector, pixels)
        boxes = search_quickly(self._detector, upright)
        same = [box for box in boxes if self._may_be(box)]
        same = believable(self._detector, upright, same)
        if same:
            main = min(same, key=self._distance)
            points = read_points(self._detector, upright, main)
            return Face(points, main, self._beside(boxes, main)), self._turn
        if not self._is_given_up():
            # One who comes in meanwhile is not to be taken for the one who was lost.
            self._others = max(self._others, self._beside(boxes, None))
            return None, self._turn
        if thoroughly:
            return find_with_turn(self._detector, pixels)
        boxes = believable(self._detector, upright, boxes)
        return (read_main(self._detector, upright, boxes) if boxes else None), self._turn

    def _beside(self, boxes: list[Box], main: Box | None) -> int:
        """How many of the faces in the whole frame are surely others than the main one."""
        self._not_around = 0
        sure = [box for box in boxes if box.score >= self._detector.sure_score]
        return sum(main is None or overlap(box, main) < 0.1 for box in sure)
