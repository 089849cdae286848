"""Videos out: MP4 with a word on where they come from, other videos' times and sound kept."""

import contextlib
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from xfer.errors import BadFile, expect
from xfer.media.packets import each_packet
from xfer.media.pictures import Pixels
from xfer.media.provenance import Source, comment, find_source
from xfer.media.video import OPTIONS, words
from xfer.runs import atomic

COPIED = ("aac", "mp3", "ac3", "eac3", "opus", "alac")
"""Sound that MP4 holds as it is; any other is coded anew."""
BT709 = 1
"""FFmpeg's number for the colours of ITU-R BT.709: primaries, transfer and matrix."""


class VideoWriter:
    """An MP4 file under way; it appears under its name when the block ends well, or not at all.

        with VideoWriter("out.mp4", fps=25) as video:
            for frame in frames:
                video.add(frame)

    Args:
        path: Ends in .mp4.
        fps: Frames a second where `add` is given no time.
        source: What the file says of its origin; None for a plain recording.
        note: A remark that stands beside it.
        crf: x264's quality, 0 (lossless) to 51; 16 cannot be told from the original by eye.
        full_colour: Keep colour at full resolution: not every player shows it.
        sound_from: A video whose sound is taken over, cut where the pictures end.
        time_base: Unit of time stamps, such as that of the video whose times are kept.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float = 25.0,
        source: Source | None = Source.GENERATED,
        note: str = "",
        crf: int = 16,
        full_colour: bool = False,
        sound_from: str | Path | None = None,
        time_base: Fraction | None = None,
    ):
        self.path = Path(path)
        expect(self.path.suffix.lower() == ".mp4", f"videos are written as .mp4; got {self.path}")
        expect(fps > 0, f"frames a second are positive; got {fps}")
        expect(0 <= crf <= 51, f"crf lies between 0 and 51; got {crf}")
        self.fps, self.source, self.note, self.crf = fps, source, note, crf
        self.pixel_format = "yuv444p" if full_colour else "yuv420p"
        self.sound_from = sound_from
        self.time_base = time_base or Fraction(1, 90_000)
        self.frames = 0
        self._last: int | None = None

    def __enter__(self) -> "VideoWriter":
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic(self.path))
            self._out = stack.enter_context(av.open(str(temporary), "w", format="mp4"))
            if self.source:
                self._out.metadata["comment"] = comment(self.source, self.note)
            self._stream: VideoStream | None = None
            self._sound: _Sound | None = None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            expect(self.frames, f"a video has at least one frame; {self.path} would have none")
            self._finish()

    def add(self, pixels: Pixels, time: float | None = None) -> None:
        """Append a frame, shown from `time` (seconds) on; times increase."""
        if self._stream is None:
            self._start(pixels)
        time = self.frames / self.fps if time is None else time
        frame = VideoFrame.from_ndarray(self._even(pixels), format="rgb24").reformat(
            format=self.pixel_format,
            dst_colorspace=Colorspace.ITU709,
        )
        stamp = round(time / self.time_base)
        expect(
            self._last is None or stamp > self._last,
            f"times of frames increase; got {time:g} s for frame {self.frames}",
        )
        frame.pts, frame.time_base, self._last = stamp, self.time_base, stamp
        if self._sound:
            self._sound.advance(time)
        self._out.mux(self._stream.encode(frame))
        self.frames += 1

    def _start(self, pixels: Pixels) -> None:
        """Streams are laid out when the first frame tells the size."""
        self._size = pixels.shape
        # Frames that refer only backwards keep every time stamp as it was given.
        options = {"crf": str(self.crf), "preset": "veryfast", "bf": "0"}
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = self._out.add_stream("libx264", rate=rate, options=options)
        height, width = self._even(pixels).shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, self.pixel_format
        context = stream.codec_context
        context.time_base = stream.time_base = self.time_base
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        self._stream = stream
        if self.sound_from is not None:
            self._sound = _Sound.opened(self.sound_from, self._out, self._stack)

    def _even(self, pixels: Pixels) -> Pixels:
        """Sides made even, which the coding of colour needs, by repeating the last line."""
        expect(
            pixels.shape == self._size,
            f"all frames of a video have one size; got {pixels.shape} after {self._size}",
        )
        odd = [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)]
        padded = np.pad(pixels, odd, mode="edge") if any(b for _, b in odd) else pixels
        return np.ascontiguousarray(padded)

    def _finish(self) -> None:
        self._out.mux(self._stream.encode(None))
        if self._sound:
            self._sound.finish(float(self._last * self.time_base) + 1 / self.fps)


class _Sound:
    """Another video's sound, put in as the pictures go on, so that little of it waits in memory."""

    def __init__(self, source: InputContainer, out: OutputContainer):
        self._source, self._out = source, out
        self._from: AudioStream = source.streams.audio[0]
        self._copied = self._from.codec_context.name in COPIED
        if self._copied:
            self._to = out.add_stream_from_template(self._from)
        else:
            self._to = out.add_stream("aac", rate=self._from.rate or 44_100)
        self._packets = self._read()
        self._waiting: deque[Packet] = deque()

    @classmethod
    def opened(
        cls, path: str | Path, out: OutputContainer, stack: contextlib.ExitStack
    ) -> "_Sound | None":
        """None where the file has no sound that can be read."""
        try:
            source = av.open(str(path), options=OPTIONS, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise BadFile(f"the sound of {path} cannot be read: {error}") from error
        stack.enter_context(source)
        streams = source.streams.audio
        return cls(source, out) if streams and streams[0].codec_context is not None else None

    def _read(self) -> Iterator[Packet]:
        """Packets ready for the output, in order."""
        for packets in each_packet(lambda: self._source.demux(self._from), self._taken):
            yield from packets

    def _taken(self, packet: Packet) -> list[Packet]:
        """What the output gets of a packet."""
        if not self._copied:
            return [made for frame in packet.decode() for made in self._to.encode(frame)]
        if packet.dts is None:  # an empty one at the end
            return []
        packet.stream = self._to
        return [packet]

    def advance(self, time: float) -> None:
        """Write what sounds before `time`."""
        while (packet := self._next()) is not None and not _starts_after(packet, time):
            self._out.mux(self._waiting.popleft())

    def _next(self) -> Packet | None:
        """The packet whose turn it is."""
        if not self._waiting and (packet := next(self._packets, None)) is not None:
            self._waiting.append(packet)
        return self._waiting[0] if self._waiting else None

    def finish(self, time: float) -> None:
        """Write what sounds before `time`, what a coder still holds included."""
        self.advance(time)
        held = [] if self._copied else self._to.encode(None)
        self._out.mux([packet for packet in held if not _starts_after(packet, time)])


def _starts_after(packet: Packet, time: float) -> bool:
    return packet.pts is not None and float(packet.pts * packet.time_base) >= time


def video_source(path: str | Path) -> Source | None:
    """What a video file says of its origin; None if it says nothing."""
    try:
        with av.open(str(path), options=OPTIONS, metadata_errors="replace") as container:
            return find_source(container.metadata.get("comment", ""))
    except (av.FFmpegError, OSError) as error:
        raise BadFile(f"{path} is no video, or a damaged one: {words(error)}") from error
