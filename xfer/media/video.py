"""Videos and cameras in, MP4 out: the door to all that moves."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from xfer.errors import BadFile, MissingFile
from xfer.media.camera import Camera
from xfer.media.images import exists, kind_of, opened_image
from xfer.media.packets import open_container
from xfer.media.provenance import Source, find_source
from xfer.media.reader import Animation, Frame, Video, VideoFile
from xfer.media.writer import VideoWriter

__all__ = ["Frame", "Video", "VideoWriter", "open_camera", "open_video", "prefetch", "read_source"]

T = TypeVar("T")


def open_video(path: str | Path) -> Video:
    """A video file, or an animated image, as a stream of frames.

    Raises:
        MissingFile: There is no such file.
        BadFile: It is no video, holds no frame that can be decoded, or too large ones.
    """
    if not exists(path):
        raise MissingFile(f"there is no video {path}")
    with contextlib.suppress(BadFile), opened_image(path) as picture:
        if getattr(picture, "is_animated", False) and kind_of(path) == "video":
            return Animation(path)
    return VideoFile(path)


def open_camera(device: str | int) -> Camera:
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
        with opened_image(path) as picture:
            packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
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
