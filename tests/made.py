"""Odd images and videos made for tests."""

import contextlib
import signal
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.stream import Disposition
from av.video.frame import VideoFrame
from PIL import Image, UnidentifiedImageError

from xfer.media.images import PREFIX, Source


def ramp(height=48, width=64, blue=0):
    """An image without symmetry: red grows to the right, green downwards."""
    pixels = np.full((height, width, 3), blue, np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width).astype(np.uint8)
    pixels[..., 1] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    return pixels


def ramps(count=10, height=48, width=64):
    """Frames that differ by their blue: 20 levels apart."""
    return [ramp(height, width, 20 * (k % 12)) for k in range(count)]


def number_of(image):
    """Which of `ramps` an image is."""
    return round(float(np.median(image[..., 2])) / 20)


def near(image, expected, most=4.0):
    return image.shape == expected.shape and np.abs(image.astype(int) - expected).mean() < most


def tone(seconds, rate=44_100, hertz=440):
    phase = 2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(phase) * 32767).astype(np.int16)


def make_video(
    path, frames, *, fps=25, codec="libx264", pixel_format="yuv444p", options=None, times=None,
    turn=None, aspect=None, tags=None, matrix=None, metadata=None, sound=(), start=0.0, form=None,
):  # fmt: skip
    """Write a video.

    Args:
        frames: uint8 arrays, or frames of PyAV's own.
        turn: a, b, c, d of the display matrix: a point is shown at (a x + c y, b x + d y).
        tags: Attributes of the coder, such as color_trc.
        matrix: Which matrix codes colour, by swscale's number; it is not written down.
        sound: Tracks: (samples, rate, codec, is default).
        start: Seconds by which all stamps are moved.
    """
    with av.open(str(path), "w", format=form) as out:
        to_frame = lambda array: VideoFrame.from_ndarray(
            array, format="rgb24" if array.shape[2] == 3 else "rgba"
        ).reformat(format=pixel_format, dst_colorspace=matrix)
        frames = [to_frame(f) if isinstance(f, np.ndarray) else f for f in frames]
        stream = out.add_stream(codec, rate=fps, options=options or {"crf": "4"})
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = pixel_format
        unit = Fraction(1, 60_000 if codec == "mpeg4" else 90_000)
        stream.codec_context.time_base = unit
        stream.metadata.update(metadata or {})
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            a, b, c, d = (side << 16 for side in turn)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        tracks = []
        for samples, rate, sound_codec, default in sound:
            track = out.add_stream(sound_codec, rate=rate, layout="mono")
            track.disposition = Disposition.default if default else Disposition(0)
            tracks.append((track, samples, rate))
        for k, frame in enumerate(frames):
            frame.pts = round((start + (times[k] if times else k / fps)) / unit)
            frame.time_base = unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for track, samples, rate in tracks:
            frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start * rate)
            out.mux(track.encode(frame) + track.encode(None))
    return path


def joined_streams(folder, *parts):
    """Transport streams, each with arguments of `make_video`, one after the other in a file."""
    path = folder / "joined.ts"
    options = {"pixel_format": "yuv420p", "options": {"bf": "2"}}
    files = [make_video(folder / f"{k}.ts", **options, **part) for k, part in enumerate(parts)]
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


def sound_of(path):
    """Seconds of a file's sound, its loudness, and where it becomes loud."""
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        seconds = float(track.duration * track.time_base)
        resampler = av.AudioResampler("fltp", "mono", track.rate)
        blocks = [b for f in container.decode(track) for b in resampler.resample(f)]
        samples = np.concatenate([b.to_ndarray()[0] for b in blocks])
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    begin = loud[0] / track.rate if len(loud) else None
    return seconds, float(np.sqrt((samples**2).mean())), begin


def flip_bits(data, count, rng, start=0):
    damaged = bytearray(data)
    for place in rng.integers(start, len(data), count):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


@contextlib.contextmanager
def room_for(most):
    """The system refuses every byte of a file beyond so many."""
    resource = pytest.importorskip("resource", reason="the system has no limits on file sizes")
    ends = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, ends[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, ends)
        signal.signal(signal.SIGXFSZ, handler)


def source_in(path):
    """The kind of origin that an image or video names."""
    try:
        with Image.open(path) as image:
            text = str(image.info.get("xmp") or image.info["XML:com.adobe.xmp"])
    except UnidentifiedImageError:
        with av.open(f"file:{path}") as container:
            text = container.metadata["comment"]
    return next(source for source in Source if PREFIX + source.value in text)
