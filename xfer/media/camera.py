"""A camera as a video: the newest frame is always the next one, and none waits in memory."""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain

import av

from xfer.errors import MissingFile, XferError
from xfer.media.conversion import Converter
from xfer.media.images import exists
from xfer.media.packets import words
from xfer.media.reader import Frame, Video, VideoFile

SYSTEMS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name for cameras, by system."""


class Camera(Video):
    """Frames of a camera, or of a file as if a camera took them; can be gone through once.

    Attributes:
        n_dropped: Frames that came while nobody asked for one.
    """

    def __init__(self, device: str | int):
        name = str(device).removeprefix("live:")
        super().__init__(f"/dev/video{name}" if name.isdecimal() else name)
        self.n_dropped, self._stopped = 0, threading.Event()
        self._slot: queue.Queue[Frame | None] = queue.Queue(1)
        if exists(self.path) and self.path.is_file():
            file = VideoFile(self.path)
            self.width, self.height, self.fps = file.width, file.height, file.fps
            self._frames = _in_real_time(file)
        else:
            frames = self._taken()
            self._frames = chain([next(frames)], frames)

    def __iter__(self) -> Iterator[Frame]:
        threading.Thread(target=self._watch, daemon=True, name="camera").start()
        try:
            while (frame := self._slot.get()) is not None:
                yield frame
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the camera."""
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            self._slot.get_nowait()

    def _watch(self) -> None:
        """Keep the newest frame, in a thread of its own."""
        try:
            for frame in self._frames:
                with contextlib.suppress(queue.Empty):
                    self._slot.get_nowait()
                    self.n_dropped += 1
                self._slot.put(frame)
                if self._stopped.is_set():
                    return
        except (av.FFmpegError, OSError, ValueError, XferError) as error:
            self.remark(f"{self.path} gives no more frames: {words(error)}")
        self._slot.put(None)

    def _taken(self) -> Iterator[Frame]:
        """Frames of a device with the times at which they came."""
        try:
            options = {"fflags": "nobuffer"}
            container = av.open(str(self.path), format=SYSTEMS.get(sys.platform), options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MissingFile(
                f"there is no camera {self.path} that can be opened ({words(error)}); "
                "cameras are named like live:/dev/video0"
            ) from error
        converter, start = None, time.monotonic()
        with container:
            for frame in container.decode(video=0):
                now = time.monotonic()
                if converter is None:
                    converter, start = Converter(frame, None, self.remark), now
                    self.width, self.height = converter.width, converter.height
                yield Frame(converter(frame, None), now - start)


def _in_real_time(video: Video) -> Iterator[Frame]:
    """A file's frames, each when its time has come."""
    start = time.monotonic()
    for frame in video:
        time.sleep(max(0.0, start + frame.time_s - time.monotonic()))
        yield frame
