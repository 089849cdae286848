"""Frames of video files and animated images: in order, with times, in flat memory.

Damaged parts are passed over and told in a remark; what makes a file useless is one `BadFile`.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import ImageSequence

from xfer.errors import BadFile, MissingFile
from xfer.media.conversion import Converter, progressive
from xfer.media.images import MOST_PIXELS, Pixels, check_size, exists, flat, opened_image, words

# Containers only: a playlist could make FFmpeg read other files or the network.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,gif,"
    "h264,hevc,ivf,mxf,dv,m4v,rm,nut,yuv4mpegpipe,wav,w64,mp3,flac,aac,aiff,caf"
)
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
MOST_ERRORS_IN_A_ROW = 200
"""A file may give nothing but errors, without end."""
STREAMED = ("mpegts", "mpeg", "flv", "live_flv", "asf")
"""Containers that are recorded on the fly, or joined end to end: their clock may begin anew."""


class Frame(NamedTuple):
    """One frame as it is shown."""

    image: Pixels
    time_s: float
    """Seconds since the first frame, strictly increasing."""


class Video:
    """A stream of frames; every iteration starts anew.

    Attributes:
        fps: Frames a second, on average.
        n_frames: An estimate, None where the file does not know; so is `duration_s`.
        remarks: What cannot be honoured or was damaged, one sentence a kind.
    """

    fps: float = 25.0
    width: int
    height: int
    n_frames: int | None = None
    duration_s: float | None = None
    has_audio: bool = False

    def __init__(self, path: str | Path):
        self.path, self.remarks = Path(path), list[str]()

    def remark(self, text: str) -> None:
        """Add a remark, once however often it is made."""
        if text not in self.remarks:
            self.remarks.append(text)


class VideoFile(Video):
    """A container of FFmpeg's."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        with open_container(path) as container:
            stream = self._stream(container)
            self.has_audio = bool(container.streams.audio)
            frame, start = next(self._decoded(container, stream), (None, 0.0))
            if frame is None:
                raise BadFile(f"{path}: no frame of this video can be decoded")
            self.start_s = 0.0 if math.isnan(start) else start
            self._converter = Converter(frame, _aspect(stream), self.remark)
            self.width, self.height = self._converter.width, self._converter.height
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate and 0.01 < rate < 1000 else 25.0
            length = float(stream.duration * stream.time_base) if stream.duration else None
            self.duration_s = length or (container.duration or 0) / av.time_base or None
            # What is joined or cut on the fly announces the span of its stamps, not its length.
            self._announced = 0.0 if container.format.name in STREAMED else self.duration_s or 0.0
            guess = round(self.duration_s * self.fps) if self.duration_s else None
            self.n_frames = stream.frames or guess

    def __iter__(self) -> Iterator[Frame]:
        last = -1.0
        with open_container(self.path) as container:
            stream = self._stream(container)
            for frame, time in progressive(self._decoded(container, stream)):
                try:
                    image = self._converter(frame, _aspect(stream))
                except (av.FFmpegError, ValueError):
                    self._skip()
                    continue
                last = self._later(time - self.start_s, last)
                yield Frame(image, last)
        if last < 0:
            raise BadFile(f"{self.path}: no frame of this video can be decoded")
        if self._skipped:
            self.remark(f"{self._skipped} damaged parts were passed over")
        elif last + 1 < 0.9 * self._announced:
            self.remark(f"pictures end after {last:.1f} s, of {self._announced:.1f} s announced")

    def _later(self, time: float, last: float) -> float:
        """A time after the last one: what steps back is nudged, and forgotten at the next."""
        if math.isnan(time):
            return last + 1 / self.fps if last >= 0 else 0.0
        return time if time > last else last + min(1e-3, 0.1 / self.fps)

    def _stream(self, container: InputContainer) -> VideoStream:
        """The default stream that moves; a cover image does not."""
        still = Disposition.attached_pic | Disposition.timed_thumbnails
        streams = [s for s in container.streams.video if not s.disposition & still]
        if not streams:
            kinds = sorted({stream.type for stream in container.streams})
            raise BadFile(f"{self.path} holds no moving picture, only {kinds or 'nothing'}")
        stream = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
        if stream.codec_context is None:
            raise BadFile(f"{self.path} is coded in a way that this FFmpeg cannot read")
        check_size(self.path, stream.codec_context.width, stream.codec_context.height)
        # One thread: damage is met the same way every time, and cores are for the networks.
        stream.codec_context.thread_count = 1
        return stream

    def _decoded(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[VideoFrame, float]]:
        """Frames of every packet that can be decoded, with their times (NaN where unknown)."""
        decoder, stamps, self._skipped = stream.codec_context, _Stamps(), 0
        named = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(decoder.name)
        tags = {name.lower(): value for name, value in stream.metadata.items()}
        if named and tags.get("alpha_mode") == "1":
            # FFmpeg's own decoders leave transparency away.
            decoder = av.CodecContext.create(named, "r")
        streams = stream, *container.streams.audio
        for packet, frames in decoded(container, *streams, decode=decoder.decode, bad=self._skip):
            stamps.add(packet)
            for frame in frames:
                time = stamps.of(frame, stream.codec_context.reorder_depth)
                if frame.is_corrupt or not 0 < frame.width * frame.height <= MOST_PIXELS:
                    self._skip()
                else:
                    yield frame, time

    def _skip(self) -> None:
        self._skipped += 1


def _aspect(stream: VideoStream) -> Fraction | None:
    """Width of a pixel over its height, as the container says, else the codec."""
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio


class Animation(Video):
    """An animated image: GIF, PNG, WebP, AVIF."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        with opened_image(path) as image:
            self.width, self.height = image.size
            self.n_frames = image.n_frames
            image.load()
            self.fps = 1 / _seconds(image)
            self.duration_s = self.n_frames / self.fps

    def __iter__(self) -> Iterator[Frame]:
        time, n_given = 0.0, 0
        try:
            with opened_image(self.path) as image:
                for frame in ImageSequence.Iterator(image):
                    yield Frame(flat(frame), time)
                    time, n_given = time + _seconds(frame), n_given + 1
        except BadFile:
            if not n_given:
                raise
            self.remark(f"it is damaged after {n_given} frames")


def _seconds(image: Any) -> float:
    """How long a loaded frame stands; browsers take the shortest times for a tenth of a second."""
    milliseconds = image.info.get("duration") or 0
    return milliseconds / 1000 if milliseconds > 10 else 0.1


def open_container(path: str | Path) -> InputContainer:
    """FFmpeg's view of a media file, which runs nothing and reads no other file."""
    if not exists(path):
        raise MissingFile(f"there is no file {path}")
    try:
        # Without "file:" a name with a colon would be taken for an address.
        return av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadFile(f"{path} is no video, or a damaged one: {words(error)}") from error


def decoded(
    container: InputContainer,
    stream: Any,
    *others: Any,
    decode: Callable[[Packet], list] = Packet.decode,
    bad: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Packet, list]]:
    """A stream's packets, each with its frames; packets that cannot be decoded are left out.

    Args:
        others: Streams that share its clock.
        bad: Called for each packet that is left out.
    """
    clock, errors = _Clock(container.format.name), 0
    streams = [s for s in (stream, *others) if s.codec_context is not None]
    demuxed = container.demux(*streams)
    while errors < MOST_ERRORS_IN_A_ROW:
        try:
            packet = next(demuxed, None)
            if packet is None:
                return
            clock.correct(packet)
            frames = decode(packet) if packet.stream_index == stream.index else []
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError):
            errors, demuxed = errors + 1, container.demux(*streams)
            bad()
            continue
        errors = 0
        if packet.stream_index == stream.index:
            yield packet, frames


class _Clock:
    """One clock for picture and sound where a file's own steps back or leaps.

    A leap begins an epoch with a shift of its own, which every stream takes on when it leaps too.
    """

    def __init__(self, container: str):
        self._counts = container == "avi"
        self._longest_pause = 1.5 if container in STREAMED else 10.0
        self._shifts, self._epochs, self._ends = [0.0], dict[int, int](), dict[int, float]()

    def correct(self, packet: Packet) -> None:
        """Move a packet's stamps onto the clock."""
        if self._counts and packet.dts is not None:
            packet.pts = packet.dts  # AVI counts; FFmpeg adds the decoder's delay
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None or not packet.time_base:
            return
        unit, index = float(packet.time_base), packet.stream_index
        time, lasts = stamp * unit, (packet.duration or 0) * unit
        epoch = self._epochs.get(index, len(self._shifts) - 1)
        if index in self._ends:
            newest = max(self._ends.values())
            earliest = self._ends[index] - max(0.3, 6 * min(lasts, 0.5))
            latest = newest + self._longest_pause
            while not earliest <= time + self._shifts[epoch] <= latest:
                epoch += 1
                if epoch == len(self._shifts):
                    self._shifts.append(newest - time)
                    break
        self._epochs[index] = epoch
        self._ends[index] = time + self._shifts[epoch] + lasts
        if ticks := round(self._shifts[epoch] / unit):
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks


class _Stamps:
    """Times of frames from packets whose stamps may be in the order of coding.

    Where stamps only ever grow from packet to packet though the decoder reorders frames, they
    say nothing of a frame: the earliest stamp then belongs to the frame that is shown first.
    """

    def __init__(self):
        self._waiting, self._newest, self._grow = list[float](), -math.inf, True

    def add(self, packet: Packet) -> None:
        """Take note of a packet that has gone into the decoder."""
        if packet.pts is not None and self._grow:
            time = float(packet.pts * packet.time_base)
            self._grow, self._newest = time > self._newest, time
            heapq.heappush(self._waiting, time)

    def of(self, frame: VideoFrame, depth: int) -> float:
        """The time of the frame that the decoder has just given."""
        own = math.nan if frame.time is None else frame.time
        while len(self._waiting) > depth + 3:
            heapq.heappop(self._waiting)
        first = heapq.heappop(self._waiting) if self._waiting else own
        return first if self._grow and depth else own
