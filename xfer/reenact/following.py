"""The main face of a video, followed from frame to frame; only its landmarks are kept."""

from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xfer.media.detectors import Detector
from xfer.media.landmarks import Face
from xfer.media.pictures import Pixels
from xfer.media.quality import CutFinder
from xfer.media.smoothing import Track
from xfer.media.tracking import Tracker
from xfer.media.video import Frame
from xfer.reenact.places import makes_sense


class Followed(NamedTuple):
    """A face, in the frames that show it."""

    numbers: Int[np.ndarray, " shown"]
    times: Float[np.ndarray, " shown"]
    shots: Int[np.ndarray, " shown"]
    """Another number, maybe another person."""
    points: Track
    several: int
    """Frames with other faces beside it."""
    frames: int
    """All of the video."""
    last_frame: Pixels | None


def follow(video: Iterable[Frame], detector: Detector) -> Followed:
    """The main face in frame after frame, as far as it can be cut out."""
    tracker, cuts = Tracker(detector), CutFinder()
    # Bare numbers, for there are 90 000 frames in an hour.
    numbers, times, shots, points = (array(kind) for kind in "ldlf")
    several, frames, frame = 0, 0, None
    for frame in video:
        frames += 1
        if cuts.is_cut(frame.pixels):
            tracker.reset()
        face = cut_out(tracker, frame)
        if face is None:
            continue
        several += face.others > 0
        numbers.append(frame.number)
        times.append(frame.time)
        shots.append(cuts.shot + tracker.takes)
        points.frombytes(face.points.astype(np.float32).tobytes())
    columns = [np.asarray(column) for column in (numbers, times, shots)]
    track = np.asarray(points).reshape(-1, 68, 2)
    return Followed(*columns, track, several, frames, frame and frame.pixels)


def cut_out(tracker: Tracker, frame: Frame) -> Face | None:
    """The face in the next frame, if it can be cut out."""
    face = tracker.find(frame.pixels)
    return face if face and makes_sense(face.points) else None
