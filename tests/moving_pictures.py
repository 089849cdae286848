"""Videos made for tests: good ones of every kind, and ways to break them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from skimage.data import astronaut


def moving_face(frames: int, size: int = 256, step: int = 2) -> list[np.ndarray]:
    """The astronaut's head, wandering to the right."""
    head = astronaut()[0 : 2 * size, 60:]
    return [
        np.ascontiguousarray(np.roll(head, step * number, 1)[:size, :size])
        for number in range(frames)
    ]


def ramps(frames: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures without symmetry that grow brighter: frame k has blue 10 k, up to 240."""
    base = np.zeros((height, width, 3), np.uint8)
    base[..., 0] = np.linspace(0, 250, width).astype(np.uint8)
    base[..., 1] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    return [base + np.array([0, 0, 10 * (k % 25)], np.uint8) for k in range(frames)]


def write_video(
    path: Path,
    frames: list[np.ndarray],
    times: list[float] | None = None,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv444p",
    rotation: int = 0,
    sound_seconds: float = 0.0,
    sound_codec: str = "aac",
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Write frames with the plainest means."""
    with av.open(str(path), "w") as out:
        stream = None
        if frames:
            stream = out.add_stream(codec, rate=fps, options={"crf": "2", "g": "5"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pixel_format
            if pixel_aspect:
                stream.codec_context.sample_aspect_ratio = pixel_aspect
            if rotation:
                stream.set_display_rotation(rotation)
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = out.add_stream(sound_codec, rate=44_100) if sound_seconds else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            time = times[number] if times else number / fps
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        if stream:
            out.mux(stream.encode(None))
        if sound:
            _write_sound(out, sound, sound_seconds)
    return path


def _write_sound(out, stream, seconds: float) -> None:
    wave = np.sin(np.arange(round(44_100 * seconds)) / 10).astype(np.float32)[None]
    block = 1024
    for start in range(0, wave.shape[1], block):
        frame = av.AudioFrame.from_ndarray(wave[:, start : start + block], "fltp", "mono")
        frame.sample_rate, frame.pts = 44_100, start
        frame.time_base = Fraction(1, 44_100)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def flip_bits(data: bytes, count: int, rng: np.random.Generator, start: int = 0) -> bytes:
    """The bytes with some bits the other way round."""
    damaged = bytearray(data)
    for place in rng.integers(start, len(data), count):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)
