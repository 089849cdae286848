"""Decoded frames as they are meant to be shown: upright, square pixels, sRGB, over white."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from PIL import Image, ImageFilter

from xfer.media.images import Pixels

ALPHA = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16", "pal8")
"""How names of pixel formats with transparency begin."""
UNTAGGED = (0, 2, 3)
"""Numbers of matrices that say nothing; the next three are ITU-T H.273's numbers."""
PQ, HLG = 16, 18
WIDE = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""Linear light of wide primaries into that of sRGB: BT.2020 and Display P3."""
STRANGE = {10: "BT.2020 constant luminance", 14: "ICtCp", 15: "IPT (Dolby Vision profile 5)"}
"""Matrices that FFmpeg does not undo."""


class Converter:
    """Turns decoded frames into arrays of one size.

    Args:
        frame: The first frame; it sets the size and tells how the film is turned.
        aspect: Width of a pixel over its height.
        remark: Takes one sentence for whatever cannot be honoured.
    """

    def __init__(self, frame: VideoFrame, aspect: Fraction | None, remark: Callable[[str], None]):
        self._turn, self._remark = orientation(frame), remark
        self._size = display_size(frame, aspect)
        self.width, self.height = self._size[::-1] if self._turn[0] else self._size

    def __call__(self, frame: VideoFrame, aspect: Fraction | None) -> Pixels:
        """The frame as it is shown, in the size of the first one."""
        width, height = self._size
        size = display_size(frame, aspect)
        scale = min(width / size[0], height / size[1])
        inner = tuple(max(1, round(side * scale)) for side in size)
        if frame.colorspace in STRANGE:
            self._remark(f"colours are wrong: {STRANGE[frame.colorspace]} is not understood")
        image = to_srgb(frame, *inner)
        if inner != self._size:
            self._remark(
                f"the picture's size changes from {width} x {height} to {size[0]} x {size[1]} "
                "pixels: what differs is fitted with borders"
            )
            canvas = np.zeros((height, width, 3), np.uint8)
            top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
            canvas[top : top + inner[1], left : left + inner[0]] = image
            image = canvas
        transposed, mirrored, flipped = self._turn
        image = image.transpose(1, 0, 2) if transposed else image
        image = image[:, ::-1] if mirrored else image
        return np.ascontiguousarray(image[::-1] if flipped else image)


def display_size(frame: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height as stored, with pixels made square by the wider side."""
    if not aspect or not Fraction(1, 4) < aspect < 4:
        return frame.width, frame.height
    return max(1, round(frame.width * aspect)), frame.height


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether to transpose a stored frame, then to mirror it, then to turn it upside down."""
    angle = frame.rotation % 360
    turns = {90: (True, False, True), 180: (False, True, True), 270: (True, True, False)}
    # PyAV frees metadata of side data twice, and only PNG's has some.
    if frame.format.name.startswith(("rgb", "pal8", "gray", "ya")):
        return turns.get(90 * round(angle / 90), (False, False, False))
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    # A point (x, y) of the stored picture is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32)
    if abs(int(a)) + abs(int(d)) >= abs(int(b)) + abs(int(c)):
        return False, bool(a < 0), bool(d < 0)
    return True, bool(c < 0), bool(b < 0)


def to_srgb(frame: VideoFrame, width: int, height: int) -> Pixels:
    """Three channels of 8 bits; transparency over white, wide and high dynamic range to sRGB."""
    matrix = None
    if frame.colorspace in UNTAGGED and not frame.format.is_rgb:
        hd = frame.height >= 720 or frame.width >= 1280
        matrix = Colorspace.ITU709 if hd else Colorspace.ITU601
    clear = frame.format.name.startswith(ALPHA)
    scaled = (width, height) != (frame.width, frame.height)
    array = frame.reformat(
        width,
        height,
        format="rgba" if clear else "rgb24",
        src_colorspace=matrix,
        interpolation=Interpolation.BICUBIC if scaled else None,
        threads=1,
    ).to_ndarray()
    colour, alpha = array[..., :3], array[..., 3:]
    if frame.color_trc in (PQ, HLG) or frame.color_primaries in WIDE:
        table = _table(frame.color_trc, frame.color_primaries)
        colour = np.asarray(Image.fromarray(np.ascontiguousarray(colour)).filter(table))
    if clear and alpha.min() < 255:
        share = alpha.astype(np.uint16)
        colour = ((colour * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(colour)


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


class Deinterlacer:
    """Passes frames flagged as interlaced through FFmpeg's bwdif, and leaves others alone.

    One frame in gives one frame out, a frame later.
    """

    def __init__(self):
        self._graph: Graph | None = None
        self._kind, self._tags = None, list[float]()

    def __call__(self, frame: VideoFrame, tag: float) -> Iterator[tuple[VideoFrame, float]]:
        """Frames that are ready, each with the tag that it came with."""
        kind = frame.width, frame.height, frame.format.name
        if self._graph is not None and kind != self._kind:
            yield from self.flush()
        if self._graph is None and not frame.interlaced_frame:
            yield frame, tag
            return
        if self._graph is None:
            self._graph, self._kind = Graph(), kind
            self._graph.threads = 1
            source = self._graph.add_buffer(None, *kind, time_base=Fraction(1, 90_000))
            bwdif = self._graph.add("bwdif", mode="send_frame", deint="interlaced")
            self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._tags.append(tag)
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[tuple[VideoFrame, float]]:
        """What is still inside, at the end."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
        self._graph, self._tags = None, []

    def _ready(self) -> Iterator[tuple[VideoFrame, float]]:
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while self._tags:
                yield self._graph.pull(), self._tags.pop(0)
