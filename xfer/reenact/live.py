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
from xfer.media.video import Frame, words
from xfer.reenact.drivers import Driver, Sight
from xfer.reenact.places import Place, makes_sense, place_of, whole_place
from xfer.reenact.studio import say

FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name for cameras, by system."""
FPS = 25.0
PATIENCE = 250
"""Frames without any face after which a camera is given up."""
FAILURES = (av.FFmpegError, OSError, ValueError)
"""What PyAV raises for a camera that is not there, or no more."""


class LiveDriver(Driver):
    """Frames of a camera, from the first face on: none waits in memory for one to come.

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
        """Frames until the camera ends, fails or shows no face for long, or Ctrl-C is pressed.

        All of these end it well, so that what was filmed is kept.

        Raises:
            NoFace: None of its frames showed a face.
        """
        tracker = Tracker(self._detector) if self._detector else None
        given = lost = 0
        with self.container, _stoppable() as stopped:
            for frame in self._frames():
                place = self._place(frame, tracker)
                lost = 0 if place else lost + 1
                if place and not given:
                    start = frame
                if place or given:
                    yield Sight(_counted_from(start, frame), place)
                    given += 1
                if lost > PATIENCE or stopped.is_set():
                    break
        if not given:
            raise NoFace(f"{self.path} has shown no face in {lost} frames")
        if start.number:
            say(f"{self.path}: {start.number} frames before the first face are left out")
        if stopped.is_set():
            say(f"stopped after {given} frames")
        elif lost > PATIENCE:
            say(f"{self.path} has shown no face for {PATIENCE} frames: the film ends")

    def _frames(self) -> Iterator[Frame]:
        """Every frame until the camera ends, or fails and it is said."""
        begin, is_file = time.monotonic(), self.path.is_file()
        try:
            for number, decoded in enumerate(self.container.decode(video=0)):
                now = number / FPS if is_file else time.monotonic() - begin
                yield Frame(decoded.to_ndarray(format="rgb24"), now, number)
        except FAILURES as error:
            say(f"{self.path} gives no more frames: {words(error)}")

    def _place(self, frame: Frame, tracker: Tracker | None) -> Place | None:
        if tracker is None:
            return whole_place(frame.pixels)
        face = tracker.find(frame.pixels)
        if face is None or not makes_sense(face.points):
            return None
        points = self._filter(face.points, frame.time)
        return whole_place(frame.pixels, points) if self._aligned else place_of(points, points)


def _counted_from(start: Frame, frame: Frame) -> Frame:
    """The frame with its time and number since another."""
    return Frame(frame.pixels, frame.time - start.time, frame.number - start.number)


def _opened(device: str) -> av.container.InputContainer:
    form = None if Path(device).is_file() else FORMATS.get(sys.platform)
    try:
        return av.open(device, format=form)
    except FAILURES as error:
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
