"""FFHQ alignment: the square around a face cut out of a picture, and a result pasted back.

`align` follows the public preparation of FFHQ step by step (shrink, crop, mirrored and blurred
padding, oversampled cut), so that its pictures are those that public networks were trained on.
Source: Karras et al., "A Style-Based Generator Architecture for GANs", 2019, data set appendix.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor

from xfer.crop import Crop, crop_to_picture, picture_to_crop
from xfer.errors import expect
from xfer.media.pictures import Pixels

CORNERS = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
"""Upper left, lower left, lower right, upper right, in crop coordinates."""

Quad = Float[np.ndarray, "4 2"]
"""The crop's corners in the coordinates of the picture at hand."""

LONGEST_STEP = 1.25
"""Bilinear samples farther apart than this many pixels would skip detail."""

LONGEST_SIDE = 40_000.0
"""Crops beyond this many pixels come from senseless landmarks."""


def align(pixels: Pixels, crop: Crop, size: int, oversample: int | None = 4) -> Pixels:
    """The crop as a square picture, as FFHQ was made.

    Args:
        crop: One crop, in coordinates of `pixels` (whole numbers are pixel centres).
        size: Edge of the result in pixels.
        oversample: How many times larger the crop is drawn before it is shrunk to `size`; FFHQ
            was drawn 4 times larger. None draws it just large enough that no pixel is skipped,
            which is many times faster and differs by less than half a level of 255 on average.
    """
    quad = _corners(crop)
    pixels, quad = _shrink(pixels, quad, size)
    pixels, quad = _cut_around(pixels, quad)
    pixels, quad = _pad(pixels, quad)
    oversample = oversample or max(1, math.ceil(_side(quad) / size / LONGEST_STEP))
    drawn = Image.fromarray(pixels).transform(
        (size * oversample, size * oversample),
        Image.Transform.QUAD,
        tuple((quad + 0.5).flatten()),
        Image.Resampling.BILINEAR,
    )
    if oversample > 1:
        drawn = drawn.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(drawn)


def _corners(crop: Crop) -> Quad:
    expect(len(crop.center) == 1, f"one crop at a time is cut out; got {len(crop.center)}")
    side = float(crop.side)
    expect(
        2 <= side <= LONGEST_SIDE,
        f"a crop's side is between 2 and {LONGEST_SIDE:g} pixels; got {side:g}",
    )
    return crop_to_picture(crop, CORNERS[None].to(crop.center))[0].double().numpy()


def _side(quad: Quad) -> float:
    return float(np.hypot(*(quad[3] - quad[0])))


def _shrink(pixels: Pixels, quad: Quad, size: int) -> tuple[Pixels, Quad]:
    """Make the picture smaller by a whole number where the crop has pixels to spare."""
    factor = int(np.floor(_side(quad) / size * 0.5))
    if factor <= 1:
        return pixels, quad
    height, width = pixels.shape[:2]
    smaller = max(1, round(width / factor)), max(1, round(height / factor))
    picture = Image.fromarray(pixels).resize(smaller, Image.Resampling.LANCZOS)
    return np.array(picture), quad / factor


def _bounds(quad: Quad) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    return np.floor(quad.min(0)), np.ceil(quad.max(0))


def _cut_around(pixels: Pixels, quad: Quad) -> tuple[Pixels, Quad]:
    """Leave away what lies well outside the square."""
    border = max(round(_side(quad) * 0.1), 3)
    low, high = _bounds(quad)
    size = np.array(pixels.shape[1::-1])
    # A square wholly outside the picture still finds one pixel to mirror.
    low = np.clip(low - border, 0, size - 1).astype(int)
    high = np.maximum(np.clip(high + border, 0, size).astype(int), low + 1)
    return pixels[low[1] : high[1], low[0] : high[0]], quad - low


def _pad(pixels: Pixels, quad: Quad) -> tuple[Pixels, Quad]:
    """Mirror the picture beyond its edges where the square leaves it."""
    side = _side(quad)
    border = max(round(side * 0.1), 3)
    low, high = _bounds(quad)
    size = np.array(pixels.shape[1::-1])
    before = np.maximum(border - low, 0)
    after = np.maximum(high - size + border, 0)
    if max(before.max(), after.max()) <= border - 4:
        return pixels, quad
    before, after = (np.maximum(p, round(side * 0.3)).astype(int) for p in (before, after))
    widths = [(before[1], after[1]), (before[0], after[0]), (0, 0)]
    padded = np.pad(pixels.astype(np.float32), widths, mode="reflect")
    return _soften(padded, before, after, side * 0.02), quad + before


def _soften(
    padded: Float[np.ndarray, "height width 3"], before: np.ndarray, after: np.ndarray, blur: float
) -> Pixels:
    """Blur the padding, and fade it into the median colour, the more the farther out."""
    across, down = (
        _outwards(padded.shape[1 - axis], int(before[axis]), int(after[axis])) for axis in (0, 1)
    )
    depth = np.maximum(across[None, :], down[:, None])[..., None]
    blurred = ndimage.gaussian_filter(padded, [blur, blur, 0])
    padded += (blurred - padded) * np.clip(depth * 3 + 1, 0, 1)
    padded += (np.median(padded, axis=(0, 1)) - padded) * np.clip(depth, 0, 1)
    return np.clip(np.rint(padded), 0, 255).astype(np.uint8)


def _outwards(length: int, before: int, after: int) -> Float[np.ndarray, " length"]:
    """1 at the outer edge of the padding, 0 where it begins, negative inside."""
    place = np.arange(length, dtype=np.float32)
    return 1 - np.minimum(place / before, place[::-1] / after)


def paste_back(
    pixels: Pixels,
    image: Float[Tensor, "1 3 size size"],
    crop: Crop,
    mask: Float[Tensor, "1 1 size size"] | None = None,
) -> Pixels:
    """The picture with an aligned image put back where its crop was taken.

    Args:
        image: In [-1, 1].
        mask: 1 where the image covers the picture, 0 where the picture stays; by default the
            square with soft edges.
    """
    mask = soft_mask(image.shape[-1]) if mask is None else mask
    layers = _fitted(torch.cat([image.float().cpu(), mask.float().cpu()], 1), float(crop.side))
    low, high = _bounds(_corners(crop))
    limit = np.array(pixels.shape[1::-1])
    (left, top), (right, bottom) = (
        np.clip(p, 0, limit).astype(int).tolist() for p in (low, high + 1)
    )
    if right <= left or bottom <= top:
        return pixels.copy()
    sampled = _sample(layers, crop, left, top, right, bottom)
    cover = sampled[..., 3:]
    result = pixels.copy()
    place = result[top:bottom, left:right]
    shown = (sampled[..., :3].clip(-1, 1) + 1) * 127.5
    place[:] = np.rint(place * (1 - cover) + shown * cover).astype(np.uint8)
    return result


def _fitted(layers: Tensor, side: float) -> Tensor:
    """Shrunk to the crop's size in the picture, so that sampling skips nothing."""
    if side >= layers.shape[-1]:
        return layers
    size = max(2, round(side))
    return F.interpolate(layers, size=(size, size), mode="bilinear", antialias=True)


def _sample(
    layers: Float[Tensor, "1 4 size size"], crop: Crop, left: int, top: int, right: int, bottom: int
) -> Float[np.ndarray, "height width 4"]:
    """The layers seen from a window of the picture; zero outside the crop."""
    y, x = torch.meshgrid(
        torch.arange(top, bottom, dtype=torch.float32),
        torch.arange(left, right, dtype=torch.float32),
        indexing="ij",
    )
    points = torch.stack([x, y], 2).flatten(0, 1)[None]
    place = picture_to_crop(Crop(*(part.float().cpu() for part in crop)), points)
    grid = place.view(1, *x.shape, 2)
    sampled = F.grid_sample(layers, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(3)[:, None]
    return (sampled * inside)[0].permute(1, 2, 0).numpy()


def soft_mask(size: int, feather: float = 0.12) -> Float[Tensor, "1 1 size size"]:
    """1 in the middle of the crop, falling smoothly to 0 at its edges.

    Args:
        feather: Width of the fall as a share of the edge, up to 0.5.
    """
    expect(0 < feather <= 0.5, f"feather is a share of the edge, in (0, 0.5]; got {feather}")
    place = (torch.arange(size) + 0.5) / size
    ramp = (torch.minimum(place, 1 - place) / feather).clamp(max=1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return (ramp[:, None] * ramp[None, :])[None, None]


def face_mask(
    landmarks: Float[Tensor, "1 68 2"], size: int, feather: float = 0.06
) -> Float[Tensor, "1 1 size size"]:
    """1 on the face inside jaw and forehead, soft at its edge: hair and background stay.

    Args:
        landmarks: In crop coordinates, [-1, 1].
        feather: Width of the soft edge as a share of the crop.
    """
    points = landmarks[0].float().cpu().numpy()
    brows, chin = points[17:27], points[8]
    # No landmark lies on the forehead: it reaches as far above the brows as a third of the face.
    forehead = brows + (brows.mean(0) - chin) * 0.35
    hull = points[np.r_[0:17]], forehead[::-1]
    outline = (np.concatenate(hull) + 1) * size / 2
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in outline], fill=255)
    covered = np.asarray(canvas, np.float32) / 255
    soft = ndimage.gaussian_filter(covered, feather * size / 2)
    return torch.from_numpy(soft)[None, None] * soft_mask(size, 0.04)
