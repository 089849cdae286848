"""A camera as a driver: frames as they come, read once, until somebody stops it.

What lies ahead is not known here, so landmarks pass the 1 euro filter, which trades jitter
against a few hundredths of a second of lag.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from xfer.errors import MissingFile, NoFace
from xfer.media.detectors import Detector
from xfer.media.smoothing import LandmarkFilter
from xfer.media.tracking import Tracker
from xfer.media.video import Frame
from xfer.reenact.drivers import Driver, Sight, makes_sense, place_of, whole_place
from xfer.reenact.studio import say

FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name for cameras, by system."""
FPS = 25.0
PATIENCE = 250
"""Frames without any face after which a camera is given up."""


class LiveDriver(Driver):
    """Frames of a camera, from now on.

    Args:
        device: Such as /dev/video0; a file is read as if it came from a camera.
        detector: None takes every frame for an aligned square, and finds no landmarks.
        aligned: Take frames for aligned squares also where landmarks are found.

    Raises:
        MissingFile: PyAV cannot open it.
    """

    def __init__(self, device: str, detector: Detector | None, aligned: bool = False):
        super().__init__(Path(device), True, frames=0)
        self.container = _opened(device)
        self._detector, self._filter = detector, LandmarkFilter()
        self._aligned = aligned

    def __iter__(self) -> Iterator[Sight]:
        """Every frame until the camera ends or Ctrl-C is pressed, which ends it well."""
        tracker = Tracker(self._detector) if self._detector else None
        begin, lost = time.monotonic(), 0
        is_file = self.path.is_file()
        with self.container, _stoppable() as stopped:
            for number, decoded in enumerate(self.container.decode(video=0)):
                now = number / FPS if is_file else time.monotonic() - begin
                frame = Frame(decoded.to_ndarray(format="rgb24"), now, number)
                sight = self._sight(frame, tracker)
                lost = 0 if sight.place else lost + 1
                if lost > PATIENCE:
                    raise NoFace(f"{self.path} has shown no face for {PATIENCE} frames")
                yield sight
                if stopped.is_set():
                    say(f"stopped after {number + 1} frames")
                    return

    def _sight(self, frame: Frame, tracker: Tracker | None) -> Sight:
        if tracker is None:
            return Sight(frame, whole_place(frame.pixels))
        face = tracker.find(frame.pixels)
        if face is None or not makes_sense(face.points):
            return Sight(frame, None)
        points = self._filter(face.points, frame.time)
        if self._aligned:
            return Sight(frame, whole_place(frame.pixels, points))
        return Sight(frame, place_of(points, points))


def _opened(device: str) -> av.container.InputContainer:
    form = None if Path(device).is_file() else FORMATS.get(sys.platform)
    try:
        return av.open(device, format=form)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MissingFile(
            f"there is no camera {device} that can be opened ({error}); "
            "cameras are named like live:/dev/video0"
        ) from error


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of breaking a frame off."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
