"""Videos and cameras in, MP4 out: the door to all that moves."""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import av

from xfer.errors import MissingFile, XferError
from xfer.media.conversion import Converter
from xfer.media.images import exists, holds_image, kind_of, opened_image
from xfer.media.provenance import Source, find_source
from xfer.media.reader import Animation, Frame, Video, VideoFile, open_container, words
from xfer.media.writer import VideoWriter

__all__ = ["Frame", "Video", "VideoWriter", "open_camera", "open_video", "prefetch", "read_source"]

SYSTEMS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name for cameras, by system."""

T = TypeVar("T")


def open_video(path: str | Path) -> Video:
    """A video file, or an animated image, as a stream of frames.

    Raises:
        MissingFile: There is no such file.
        BadFile: It is no video, holds no frame that can be decoded, or too large ones.
    """
    if not exists(path):
        raise MissingFile(f"there is no video {path}")
    return Animation(path) if holds_image(path) and kind_of(path) == "video" else VideoFile(path)


def open_camera(device: str | int) -> "Camera":
    """A camera whose newest frame is always the next one; frames that come meanwhile are dropped.

    Args:
        device: A number, or a name such as "/dev/video0", with or without "live:" before it; a
            file's name gives its frames as if a camera took them.

    Raises:
        MissingFile: It is not there or cannot be opened.
    """
    return Camera(device)


def read_source(path: str | Path) -> Source | None:
    """What an image or video file says of its origin; None if it says nothing."""
    if kind_of(path) == "image":
        with opened_image(path) as image:
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
            return find_source(packet)
    with open_container(path) as container:
        return find_source(container.metadata.get("comment", ""))


def prefetch(items: Iterable[T], n: int = 4) -> Iterator[T]:
    """The same items, made ahead by up to `n` in a thread of their own."""
    ready: queue.Queue = queue.Queue(n)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        end: Any = None
        try:
            for item in items:
                put((item,))
                if stopped.is_set():
                    return
        except BaseException as error:  # raised again where the items are used
            end = error
        put(end)

    threading.Thread(target=work, daemon=True, name="prefetch").start()
    try:
        while isinstance(item := ready.get(), tuple):
            yield item[0]
        if item is not None:
            raise item
    finally:
        stopped.set()


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
