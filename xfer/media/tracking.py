"""The main face of a video: the same one throughout.

The next frame is searched around the last place; a face that was lost is looked for everywhere.
A video whose pictures lie on their side is turned for the search, and the landmarks turned back.
"""

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
PATIENCE = 0.2
"""How far below the least score a followed face may fall for a while."""
DEEP_EVERY = 25
"""Frames without a face between two thorough searches of a video."""


class Tracker:
    """Follows the main face through the frames of one video, in order."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.reset()

    def find(self, pixels: Pixels) -> Face | None:
        """The face in the next frame; None while it is out of sight."""
        if self._last is None and self._lost_for % DEEP_EVERY == 0:
            face, self._turn = find_with_turn(self._detector, pixels)
            upright = turned(pixels, self._turn)
        else:
            upright = turned(pixels, self._turn)
            face = self._near(upright) or self._anywhere(upright)
        if face is None:
            self._lost_for += 1
            if self._lost_for > DEEP_EVERY:
                self._last = None
            return None
        self._last, self._lost_for = face.box, 0
        return turned_face_back(face, self._turn, upright, pixels)

    def reset(self) -> None:
        """Forget the face, as at a cut."""
        self._last: Box | None = None
        self._lost_for, self._turn = 0, 0.0

    def _near(self, pixels: Pixels) -> Face | None:
        """Around the last place, at a scale where the face is a little above the least size."""
        last = self._last
        if last is None or self._lost_for > 0:
            return None
        least = self._detector.least_score - PATIENCE
        boxes = search_near(self._detector, pixels, last, TRACKED)
        boxes = [box for box in boxes if box.score >= least]
        if not boxes:
            return None
        best = max(boxes, key=lambda box: overlap(box, last))
        return Face(read_points(self._detector, pixels, best), best, 0)

    def _anywhere(self, pixels: Pixels) -> Face | None:
        """In the whole frame: the face nearest to the last place, or else the main one."""
        boxes = search_quickly(self._detector, pixels)
        boxes = believable(self._detector, pixels, boxes)
        if not boxes:
            return None
        if self._last is None:
            return read_main(self._detector, pixels, boxes)
        near = [box for box in boxes if overlap(box, self._last) > 0.1]
        return read_main(self._detector, pixels, near or boxes)
