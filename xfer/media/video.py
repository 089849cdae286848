"""Videos in, frame by frame: upright, in order, with their times, in memory that stays flat.

Damaged packets are skipped and counted. Whatever makes a file useless is one `BadFile`.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from xfer.errors import BadFile, MissingFile, expect
from xfer.media.packets import each_packet
from xfer.media.pictures import Pixels

SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv",
    ".3gp", ".ogv",
)  # fmt: skip
# Containers only: a playlist could make FFmpeg read other files or the network.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,gif,h264,hevc,"
    "wav,mp3,flac,aac"
)
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
MOST_PIXELS = 40_000_000
"""Frames larger than this are refused before memory is taken for them."""
LONGEST_PAUSE = 600.0
"""A longer wait between two frames, in seconds, is taken for a damaged time stamp."""


class Frame(NamedTuple):
    """One frame as it is shown."""

    pixels: Pixels
    time: float
    """Seconds on the video's own clock, strictly increasing."""
    number: int
    """Count of frames before it in the file, those left out included."""


@dataclass(frozen=True)
class VideoFacts:
    """What the file says of itself; `fps`, `frames` and `seconds` may be estimates or absent."""

    width: int
    height: int
    rotation_deg: int
    fps: float
    frames: int | None
    seconds: float | None
    has_sound: bool
    time_base: Fraction


class VideoReader:
    """A video file as a stream of frames; every iteration starts anew.

    Args:
        path: Any container that FFmpeg reads.
        fps: Frames a second to give at most: frames are left out, chosen by their times, and
            none is ever repeated. None gives every frame.

    Attributes:
        facts: What the file says of itself.
        skipped: Damaged packets and frames passed over in the last iteration.
        given: Frames given in the last iteration.

    Raises:
        MissingFile: There is no such file.
        BadFile: It is no video, holds no frame that can be decoded, or too large ones.
    """

    def __init__(self, path: str | Path, fps: float | None = None):
        expect(fps is None or fps > 0, f"frames a second are positive; got {fps}")
        self.path, self.fps = Path(path), fps
        self.skipped = self.given = 0
        with self._opened() as (container, stream):
            self.facts = self._read_facts(container, stream)

    def __iter__(self) -> Iterator[Frame]:
        self.skipped = self.given = 0
        with self._opened() as (container, stream):
            decoded = self._paced(self._timed(self._decoded(container, stream)))
            for number, time, frame in decoded:
                try:
                    pixels = self._pixels(frame)
                except (av.FFmpegError, ValueError):
                    self.skipped += 1
                    continue
                self.given += 1
                yield Frame(pixels, time, number)
        if not self.given:
            raise BadFile(f"{self.path}: no frame of this video can be decoded")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        if not self.path.exists():
            raise MissingFile(f"there is no video {self.path}")
        try:
            container = av.open(str(self.path), options=OPTIONS, metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise BadFile(f"{self.path} is no video, or a damaged one: {words(error)}") from error
        with container:
            yield container, self._video_stream(container)

    def _video_stream(self, container: InputContainer) -> VideoStream:
        """The first stream that moves; a cover picture does not."""
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise BadFile(f"{self.path} holds no pictures, only {_kinds(container)}")
        stream = streams[0]
        if stream.codec_context is None:
            raise BadFile(f"{self.path} is coded in a way that this FFmpeg cannot read")
        self._check_size(stream.codec_context.width, stream.codec_context.height)
        # One thread: damage is met the same way every time, and clips are decoded side by side.
        stream.codec_context.thread_count = 1
        return stream

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MOST_PIXELS:
            raise BadFile(
                f"{self.path} has frames of {width} x {height} pixels; at most "
                f"{MOST_PIXELS / 1e6:g} million are read: make it smaller first"
            )

    def _read_facts(self, container: InputContainer, stream: VideoStream) -> VideoFacts:
        first = next(self._decoded(container, stream), None)
        if first is None:
            raise BadFile(f"{self.path}: no frame of this video can be decoded")
        self._size = _shown_size(first, stream)
        self._check_size(*self._size)
        self._turns = round(first.rotation / 90) % 4
        width, height = self._size[::-1] if self._turns % 2 else self._size
        seconds = _seconds(container, stream)
        return VideoFacts(
            width, height, 90 * self._turns, _rate(stream), stream.frames or None, seconds,
            bool(container.streams.audio), stream.time_base or Fraction(1, 90_000),
        )  # fmt: skip

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Frames of every packet that can be decoded."""
        demux = lambda: container.demux(stream)
        for frames in each_packet(demux, Packet.decode, self._skip):
            good = [frame for frame in frames if not frame.is_corrupt and frame.width]
            self.skipped += len(frames) - len(good)
            yield from good

    def _skip(self) -> None:
        self.skipped += 1

    def _timed(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with times that increase, whatever the file says."""
        step = 1 / self.facts.fps
        shift, last = 0.0, None
        for frame in frames:
            time = shift + frame.time if frame.time is not None else math.nan
            if last is not None and not last < time <= last + LONGEST_PAUSE:
                shift += last + step - time if frame.time is not None else 0.0
                time = last + step
            elif math.isnan(time):
                time = 0.0
            last = time
            yield time, frame

    def _paced(
        self, frames: Iterator[tuple[float, VideoFrame]]
    ) -> Iterator[tuple[int, float, VideoFrame]]:
        """The first frame at or after every tick of the wanted rate.

        A time stamp may be half a frame early: many files round theirs.
        """
        start, last_tick = None, -1
        early = 0.5 * min(1.0, (self.fps or 1.0) / self.facts.fps)
        for number, (time, frame) in enumerate(frames):
            if self.fps is not None:
                start = time if start is None else start
                tick = math.floor((time - start) * self.fps + early)
                if tick <= last_tick:
                    continue
                last_tick = tick
            yield number, time, frame

    def _pixels(self, frame: VideoFrame) -> Pixels:
        """As shown: square pixels, upright, 8 bits, the size of the first frame."""
        self._check_size(frame.width, frame.height)
        width, height = self._size
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(pixels, self._turns))


def _shown_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height with pixels made square."""
    # PyAV's frames do not tell; its streams know what the container says, else what the codec does.
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not aspect or not Fraction(1, 4) < aspect < 4:
        return frame.width, frame.height
    return max(1, round(frame.width * aspect)), frame.height


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _rate(stream: VideoStream) -> float:
    """Frames a second, 25 where the file does not know."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and 0.01 < rate < 1000 else 25.0


def _kinds(container: InputContainer) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    return " and ".join(kinds).replace("audio", "sound") or "nothing"


def words(error: Any) -> str:
    """What FFmpeg says went wrong, without its numbers."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
