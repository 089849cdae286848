"""Videos and cameras in, MP4 out: the door to all that moves."""

import contextlib
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from xfer.errors import BadFile, BadValue, MissingFile, XferError
from xfer.media.conversion import Converter, filtered
from xfer.media.images import Pixels, Source, comment, exists, holds_image, kind_of, words
from xfer.media.reader import Animation, Frame, Video, VideoFile, decoded, open_container
from xfer.runs import FULL, atomic

SYSTEMS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name for cameras, by system."""
BT709 = 1
"""FFmpeg's number for the colours of ITU-R BT.709: primaries, transfer and matrix."""
TIME_BASE = Fraction(1, 90_000)
RATE = 48_000
"""Samples of sound a second."""

T = TypeVar("T")


def open_video(path: str | Path) -> Video:
    """A video file, or an animated image, as a stream of frames; `BadFile` if it gives none."""
    if not exists(path):
        raise MissingFile(f"there is no video {path}")
    return Animation(path) if holds_image(path) and kind_of(path) == "video" else VideoFile(path)


def prefetch(items: Iterable[T], n: int = 4) -> Iterator[T]:
    """The same items, made ahead by up to `n` in a thread of their own."""
    source, end = iter(items), object()
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        pending = deque(pool.submit(next, source, end) for _ in range(n))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, source, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)  # nobody else frees what its thread still decodes


class Camera(Video):
    """Frames of a camera, once, the newest always next; those that come meanwhile are dropped.

    Args:
        device: A number, or a name such as "/dev/video0", with or without "live:" before it; a
            file's name gives its frames as if a camera took them.
    """

    def __init__(self, device: str | int):
        name = str(device).removeprefix("live:")
        super().__init__(f"/dev/video{name}" if name.isdecimal() else name)
        self.n_dropped, self._stopped = 0, threading.Event()
        self._slot: queue.Queue[Frame | None] = queue.Queue(1)
        if exists(self.path) and self.path.is_file():
            file = VideoFile(self.path)
            self.fps, self._frames = file.fps, _in_real_time(file)
        else:
            self._frames = self._taken(self._opened())

    def __iter__(self) -> Iterator[Frame]:
        watcher = threading.Thread(target=self._watch, daemon=True, name="camera")
        watcher.start()
        try:
            while (frame := self._slot.get()) is not None:
                yield frame
        finally:
            self._stopped.set()
            with contextlib.suppress(queue.Empty):
                self._slot.get_nowait()
            watcher.join(timeout=1)

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

    def _opened(self) -> InputContainer:
        try:
            options = {"fflags": "nobuffer"}
            return av.open(str(self.path), format=SYSTEMS.get(sys.platform), options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            why = f"({words(error)}); cameras are named like live:/dev/video0"
            raise MissingFile(f"there is no camera {self.path} that can be opened {why}") from error

    def _taken(self, container: InputContainer) -> Iterator[Frame]:
        """Frames of a device with the times at which they came."""
        converter, start = None, 0.0
        with container:
            for frame in container.decode(video=0):
                now = time.monotonic()
                if converter is None:
                    converter, start = Converter(frame, None, self.remark), now
                yield Frame(converter(frame, None), now - start)


def _in_real_time(video: Video) -> Iterator[Frame]:
    """A file's frames, each when its time has come."""
    start = time.monotonic()
    for frame in video:
        time.sleep(max(0.0, start + frame.time_s - time.monotonic()))
        yield frame


class VideoWriter:
    """An MP4 file under way; it appears under its name when the block ends well, or not at all.

        with VideoWriter("out.mp4", (1024, 1024), 25.0, Source.GENERATED) as video:
            for frame in frames:
                video.write(frame)

    Args:
        size: Width and height in pixels; odd ones are made even by repeating the last line.
        fps: Frames a second where `write` is given no time.
        source: What the file says of its origin.
        audio_from: A file whose sound is taken over, cut where the pictures end. What fails in
            it costs the sound and a remark, one sentence in `remarks`.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float,
        source: Source,
        audio_from: str | Path | None = None,
    ):
        self.path, self.size, self.fps, self.audio_from = Path(path), size, fps, audio_from
        if self.path.suffix.lower() != ".mp4" or not 0 < fps < 10_000:
            raise BadValue(f"videos are .mp4 with some frames a second; got {path}, {fps}")
        self._comment = comment(source)
        self.remarks, self.n_frames, self._last = list[str](), 0, -1

    def __enter__(self) -> "VideoWriter":
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic(self.path))
            options = {"movflags": "+faststart"}
            out = av.open(f"file:{temporary}", "w", format="mp4", options=options)
            self._out = stack.enter_context(out)
            self._out.metadata["comment"] = self._comment
            self._stream = self._video_stream()
            self._sound: _Sound | None = None
            if self.audio_from is not None:
                with self._costing_sound():
                    self._sound = _Sound(self.audio_from, self._out)
                    stack.callback(self._sound.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is not None:
            self._stack.__exit__(*raised)
            return
        with self._stack:
            if not self.n_frames:
                raise BadValue(f"a video has at least one frame; {self.path} would have none")
            self._mux(self._stream.encode(None))
            self._advance(self._last * TIME_BASE + 1 / self.fps, end=True)
            self._out.close()

    def _video_stream(self) -> Any:
        # The eye cannot tell crf 16 from the original; without B-frames stamps stay as given.
        options = {"crf": "16", "preset": "veryfast", "bf": "0"}
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = self._out.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = TIME_BASE
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        return stream

    def write(self, array: Pixels, time_s: float | None = None) -> None:
        """Append a frame, shown from `time_s` (seconds) on; times increase."""
        if array.shape[1::-1] != tuple(self.size):
            raise BadValue(f"frames are {self.size} pixels wide and high; got {array.shape[1::-1]}")
        time_s = self.n_frames / self.fps if time_s is None else time_s
        stamp = round(time_s / TIME_BASE)
        if stamp <= self._last:
            raise BadValue(f"times of frames increase; got {time_s:g} s for frame {self.n_frames}")
        even = np.pad(array, [(0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)], "edge")
        frame = VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, threads=1
        )
        frame.pts, frame.time_base, self._last = stamp, TIME_BASE, stamp
        self._advance(time_s)
        self._mux(self._stream.encode(frame))
        self.n_frames += 1

    def _mux(self, ready: list[Packet]) -> None:
        for packet in ready:
            packet.duration = round(1 / self.fps / TIME_BASE)
            self._out.mux(packet)

    def _advance(self, time_s: float, end: bool = False) -> None:
        """Write what sounds before a time."""
        with self._costing_sound():
            for packet in self._sound.packets(float(time_s), end) if self._sound else []:
                self._out.mux(packet)

    @contextlib.contextmanager
    def _costing_sound(self) -> Iterator[None]:
        """Whatever fails within costs the sound and a remark, never the video."""
        try:
            yield
        except (av.FFmpegError, XferError, ValueError, OSError) as error:
            if getattr(error, "errno", None) in FULL:
                raise
            self._sound = None
            where = f" from {float(self._last * TIME_BASE):.1f} s on" if self.n_frames else ""
            self.remarks.append(f"the video is silent{where}: its sound fails ({words(error)})")


class _Sound:
    """Another file's sound, laid on the clock of its pictures, as AAC in the output."""

    def __init__(self, path: str | Path, out: OutputContainer):
        self._container = open_container(path)
        self.close = self._container.close
        tracks = [s for s in self._container.streams.audio if s.codec_context is not None]
        default = lambda track: bool(track.disposition & Disposition.default)
        self._track = max(tracks, key=default, default=None)
        self._video = self._container.streams.video[:1]
        self._start_s = VideoFile(path).start_s if self._video else 0.0
        self._at = 0
        if self._track is not None:
            self._layout = "mono" if self._track.codec_context.channels == 1 else "stereo"
            # Nothing is promised to the output before something could be decoded.
            frames = self._placed()
            if (first := next(frames, None)) is None:
                raise BadFile("nothing in it can be decoded")
            self._frames = chain([first], frames)
            self._to = out.add_stream("aac", rate=RATE, layout=self._layout)
            self._to.bit_rate = 192_000

    def packets(self, time_s: float, end: bool = False) -> list[Packet]:
        """What sounds before a time, coded; all that is left of it at the end."""
        ready = []
        while self._track and self._at < time_s * RATE and (frame := next(self._frames, None)):
            self._at = frame.pts + frame.samples
            ready += self._to.encode(frame)
        return ready + (self._to.encode(None) if self._track and end else [])

    def _placed(self) -> Iterator[AudioFrame]:
        """Decoded sound where it belongs: gaps are filled with silence, overlaps are cut."""
        found = decoded(self._container, self._track, *self._video)
        frames = chain.from_iterable(frames for _, frames in found)
        form = lambda frame: (frame.sample_rate, frame.format.name, frame.layout.name)
        for _, alike in groupby(frames, form):
            graph = None
            for frame in alike:
                graph = graph or self._filters(frame)
                yield from filtered(graph, frame)
            yield from filtered(graph, None)

    def _filters(self, frame: AudioFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        form = f"sample_fmt={frame.format.name}:channel_layout={frame.layout.name}"
        rate = f"sample_rate={frame.sample_rate}:time_base={frame.time_base}"
        graph.link_nodes(
            graph.add("abuffer", f"{form}:{rate}"),
            graph.add("asetpts", f"PTS-{self._start_s}/TB"),
            graph.add("aresample", f"{RATE}:async=1:first_pts={self._at}"),
            graph.add("aformat", sample_fmts="fltp", channel_layouts=self._layout),
            graph.add("asetnsamples", n="1024", p="0"),
            graph.add("abuffersink"),
        ).configure()
        return graph
