"""Decoded frames as they are meant to be shown: upright, square pixels, sRGB, over white."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from PIL import Image, ImageFilter, ImageOps

from xfer.media.images import Pixels, flat

UNTAGGED = (0, 2, 3)
"""Numbers of matrices that say nothing; the next three are ITU-T H.273's numbers."""
PQ, HLG = 16, 18
WIDE = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""Linear light of wide primaries into that of sRGB: BT.2020 and Display P3."""


class Converter:
    """Turns decoded frames into arrays of the size and turn of the first one.

    Args:
        aspect: Width of a pixel over its height.
        remark: Takes one sentence for whatever cannot be honoured.
    """

    def __init__(self, frame: VideoFrame, aspect: Fraction | None, remark: Callable[[str], None]):
        self._turn, self._remark = orientation(frame), remark
        self._size = display_size(frame, aspect)
        self.width, self.height = self._size[::-1] if self._turn[0] else self._size

    def __call__(self, frame: VideoFrame, aspect: Fraction | None) -> Pixels:
        """The frame as it is shown."""
        size = display_size(frame, aspect)
        image = to_srgb(frame, *size)
        if size != self._size:
            first, other = ("{} x {}".format(*side) for side in (self._size, size))
            self._remark(
                f"its size changes from {first} to {other} px: that is fitted with borders"
            )
            image = np.array(ImageOps.pad(Image.fromarray(image), self._size))
        transposed, mirrored, flipped = self._turn
        image = image.transpose(1, 0, 2) if transposed else image
        return np.ascontiguousarray(image[:: -1 if flipped else 1, :: -1 if mirrored else 1])


def display_size(frame: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height as stored, with pixels made square by the wider side."""
    sensible = aspect and Fraction(1, 4) < aspect < 4
    return max(1, round(frame.width * (aspect if sensible else 1))), frame.height


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether to transpose a stored frame, then to mirror it, then to turn it upside down."""
    # PyAV frees metadata of side data twice, and only PNG's has some.
    is_png = frame.format.name.startswith(("rgb", "pal8", "gray", "ya"))
    matrix = None if is_png else frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    # A point (x, y) of the stored picture is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32).tolist()
    transposed = abs(a) + abs(d) < abs(b) + abs(c)
    return (True, c < 0, b < 0) if transposed else (False, a < 0, d < 0)


def to_srgb(frame: VideoFrame, width: int, height: int) -> Pixels:
    """Three channels of 8 bits; transparency over white, wide and high dynamic range to sRGB."""
    hd = frame.height >= 720 or frame.width >= 1280
    untagged = frame.colorspace in UNTAGGED and not frame.format.is_rgb
    clear = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    scaled = (width, height) != (frame.width, frame.height)
    array = frame.reformat(
        width,
        height,
        format="rgba" if clear else "rgb24",
        src_colorspace=(Colorspace.ITU709 if hd else Colorspace.ITU601) if untagged else None,
        interpolation=Interpolation.BICUBIC if scaled else None,
        threads=1,
    ).to_ndarray()
    wide = frame.color_trc in (PQ, HLG) or frame.color_primaries in WIDE
    if not wide and not clear:
        return array
    image = Image.fromarray(array)
    return flat(image.filter(_table(frame.color_trc, frame.color_primaries)) if wide else image)


@lru_cache(maxsize=8)
def _table(curve: int, primaries: int, size: int = 33) -> ImageFilter.Color3DLUT:
    """Coded colour of a film -> sRGB.

    White of ordinary films stands at 203 cd/m2 (ITU-R BT.2408), that is .75 of HLG; what is
    brighter is clipped.
    """
    axis = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    light = _linear(np.stack([red, green, blue], -1).reshape(-1, 3), curve)
    light = np.clip(light @ np.array(WIDE.get(primaries, np.eye(3))).T, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return ImageFilter.Color3DLUT(size, coded.astype(np.float32).flatten())


def _linear(coded: np.ndarray, curve: int) -> np.ndarray:
    """Linear light, 1 at the white of ordinary films (ITU-R BT.2100 for HLG and PQ)."""
    if curve == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
        return scene / 0.26496
    if curve == PQ:
        root = coded ** (32 / 2523)
        share = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return share ** (16384 / 2610) * (10_000 / 203)
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def progressive(frames: Iterator[tuple[VideoFrame, float]]) -> Iterator[tuple[VideoFrame, float]]:
    """Frames with their times; interlaced ones, and what follows them, through FFmpeg's bwdif."""
    kind_of_frame = lambda timed: (timed[0].width, timed[0].height, timed[0].format.name)
    for kind, alike in groupby(frames, kind_of_frame):
        graph, times = None, deque[float]()
        for frame, time in alike:
            if graph is None and not frame.interlaced_frame:
                yield frame, time
                continue
            if graph is None:
                graph = Graph()
                graph.threads = 1
                source = graph.add_buffer(None, *kind, time_base=Fraction(1, 90_000))
                bwdif = graph.add("bwdif", mode="send_frame", deint="interlaced")
                graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
            times.append(time)
            yield from ((ready, times.popleft()) for ready in filtered(graph, frame))
        yield from ((ready, times.popleft()) for ready in filtered(graph, None))


def filtered(graph: Graph | None, frame: Any) -> Iterator[Any]:
    """What filters give for a frame, or at the end for None."""
    if graph is not None:
        graph.push(frame)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield graph.pull()
