"""FFHQ alignment: the square around a face cut out of an image, and a face pasted back.

Points are pixels, x right and y down; whole numbers are pixel centres. A quad holds the square's
corners: upper left, lower left, lower right, upper right.
Source: Karras et al., "A Style-Based Generator Architecture for GANs", 2019, data set appendix.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from xfer.errors import BadValue
from xfer.media.images import Pixels

Points, Points68 = Float[np.ndarray, "n 2"], Float[np.ndarray, "68 2"]
Quad = Float[np.ndarray, "4 2"]
Mask = Float[np.ndarray, "size size"]
"""1 where a face covers the image, 0 where the image stays."""

AFFINE = Image.Transform.AFFINE
LONGEST_SIDE = 40_000.0
"""Squares beyond this many pixels come from senseless landmarks."""


def ffhq_quad(points68: Points68) -> Quad:
    """The crop of FFHQ, from the eyes' middles and the mouth's corners (iBUG 68 points)."""
    points = np.asarray(points68, np.float64)
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    eyes, mouth = (left + right) / 2, (points[48] + points[54]) / 2
    eye_to_eye, eye_to_mouth = right - left, mouth - eyes
    # The horizontal axis averages the line of the eyes and the normal of the eyes-to-mouth line.
    x = eye_to_eye + np.array([eye_to_mouth[1], -eye_to_mouth[0]])
    x *= max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth)) / max(np.hypot(*x), 1e-12)
    y = np.array([-x[1], x[0]])
    centre = eyes + 0.1 * eye_to_mouth
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def square_to_image(quad: Quad, size: int) -> Float[np.ndarray, "2 3"]:
    """The affine map from pixels of a crop of `size` px to pixels of the image."""
    x, y = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    return np.stack([x, y, quad[0] + (x + y) / 2], axis=1)


def to_square(points: Points, quad: Quad, size: int) -> Points:
    """Points of the image as pixels of its crop of `size` px."""
    matrix = square_to_image(quad, size)
    return np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T.astype(np.float32)


def _side(quad: Quad) -> float:
    return float(np.hypot(*(quad[3] - quad[0])))


def crop(image: Pixels, quad: Quad, size: int) -> Pixels:
    """The square as an image of `size` px, as FFHQ was made: mirrored and blurred beyond edges.

    It is shrunk before it is turned, which takes a tenth of the time of FFHQ's own oversampling,
    and differs from it by less than one level of 255 on average.
    """
    quad = np.asarray(quad, np.float64)
    side = _side(quad)
    if not 2 <= side <= LONGEST_SIDE:
        raise BadValue(f"a crop's side lies between 2 and {LONGEST_SIDE:g} px; got {side:g}")
    limit = np.array(image.shape[1::-1])
    border = max(round(side * 0.1), 3)
    low = np.floor(quad.min(0)).astype(int) - border
    high = np.ceil(quad.max(0)).astype(int) + border
    # A square wholly outside the image still finds one pixel to mirror.
    start = np.clip(low, 0, limit - 1)
    stop = np.maximum(np.clip(high, 0, limit), start + 1)
    part = Image.fromarray(image[start[1] : stop[1], start[0] : stop[0]])
    part, scale = _shrunk(part, side / size)
    # From here on whole numbers are edges of pixels, which resizing keeps in place.
    quad = (quad + 0.5 - start) * scale
    before, after = np.maximum(start - low, 0), np.maximum(high - stop, 0)
    if max(before.max(), after.max()) > border - 4:
        before, after = (
            np.ceil(np.maximum(missing, side * 0.3) * scale).astype(int)
            for missing in (before, after)
        )
        part, quad = _mirrored(part, before, after, _side(quad) * 0.02), quad + before
    x, y = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    affine = x[0], y[0], quad[0, 0], x[1], y[1], quad[0, 1]
    return np.array(part.transform((size, size), AFFINE, affine, Image.Resampling.BILINEAR))


def _shrunk(part: Image.Image, ratio: float) -> tuple[Image.Image, np.ndarray]:
    """Smaller by at most `ratio`, so that sampling skips nothing, and by how much."""
    if ratio >= 2:
        return part.reduce(int(ratio)), np.full(2, 1 / int(ratio))
    if ratio <= 1.5:
        return part, np.ones(2)
    size = tuple(max(1, round(length * 1.4 / ratio)) for length in part.size)
    return part.resize(size, Image.Resampling.BOX), np.array(size) / part.size


def _mirrored(part: Image.Image, before: np.ndarray, after: np.ndarray, blur: float) -> Image.Image:
    """Mirrored beyond its edges, and there the more blurred and faded the farther out."""
    widths = [(before[1], after[1]), (before[0], after[0]), (0, 0)]
    padded = np.pad(np.asarray(part), widths, mode="reflect")
    across, down = (
        1 - np.minimum(place / before[axis], place[::-1] / after[axis])
        for axis, place in enumerate(np.arange(n, dtype=np.float32) for n in padded.shape[1::-1])
    )
    depth = np.maximum(across[None, :], down[:, None])
    colour = tuple(np.median(padded[::4, ::4], axis=(0, 1)).astype(int).tolist())
    sharp = Image.fromarray(padded)
    soft = sharp.filter(ImageFilter.GaussianBlur(blur))
    result = Image.composite(soft, sharp, _cover(depth * 3 + 1))
    return Image.composite(Image.new("RGB", result.size, colour), result, _cover(depth))


def _cover(share: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8))


def paste(photo: Pixels, face: Pixels, quad: Quad, mask: Mask) -> Pixels:
    """The image with a face put back where its crop was taken, in the image's own colours.

    Args:
        face: The crop, changed, of any size.
        mask: Of any size.
    """
    # Only where the mask covers something is there anything to do.
    rows, columns = (np.flatnonzero((mask > 0.004).any(axis)) for axis in (1, 0))
    if not len(rows):
        return photo.copy()
    corners = np.array([[c, r] for c in columns[[0, -1]] for r in rows[[0, -1]]])
    matrix = square_to_image(quad, len(mask))
    window = corners @ matrix[:, :2].T + matrix[:, 2]
    limit = np.array(photo.shape[1::-1])
    low = np.clip(np.floor(window.min(0)), 0, limit).astype(int)
    high = np.clip(np.ceil(window.max(0)) + 1, 0, limit).astype(int)
    if (high <= low).any():
        return photo.copy()
    size = tuple((high - low).tolist())
    layers = Image.fromarray(face), _cover(mask)
    new, cover = (_warped(layer, quad, low, size) for layer in layers)
    result = photo.copy()
    place = result[low[1] : high[1], low[0] : high[0]]
    old = Image.fromarray(place)
    place[:] = np.asarray(Image.composite(_matched(new, old, cover), old, cover))
    return result


def _warped(layer: Image.Image, quad: Quad, low: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A layer of the crop as seen from a window of the image; zero outside the crop."""
    side = _side(quad)
    layer, _ = _shrunk(layer, layer.width / side)
    matrix = square_to_image(quad, layer.width)
    # Pillow counts from edges of pixels: half a pixel lies between its numbers and ours.
    back = np.linalg.inv(matrix[:, :2])
    offset = back @ (low - 0.5 - matrix[:, 2]) + 0.5
    affine = *back[0], offset[0], *back[1], offset[1]
    return layer.transform(size, AFFINE, affine, Image.Resampling.BILINEAR)


def _matched(new: Image.Image, old: Image.Image, cover: Image.Image) -> Image.Image:
    """The face with mean and spread of each colour as the image has them where the two meet."""
    current, wanted, share = (
        np.asarray(layer.resize((64, 64), Image.Resampling.NEAREST), float).reshape(4096, -1)
        for layer in (new, old, cover)
    )
    weight = (share * (255 - share))[:, 0]
    if not weight.any():
        return new
    means = [np.average(colours, 0, weight) for colours in (current, wanted)]
    spreads = [
        np.sqrt(np.average((colours - mean) ** 2, 0, weight)) + 4
        for colours, mean in zip((current, wanted), means, strict=True)
    ]
    gain = np.clip(spreads[1] / spreads[0], 0.75, 1.33)
    levels = (np.arange(256)[:, None] - means[0]) * gain + means[1]
    return new.point(np.clip(np.rint(levels), 0, 255).astype(int).T.flatten().tolist())


def soft_mask(size: int = 128, feather: float = 0.12) -> Mask:
    """1 in the middle of the crop, falling to 0 at its edges over a share `feather` of it."""
    place = (np.arange(size) + 0.5) / size
    ramp = np.clip(np.minimum(place, 1 - place) / feather, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return ramp[:, None] * ramp[None, :]


def face_mask(points: Points68, size: int) -> Mask:
    """1 on the face inside jaw and forehead, soft at its edge: hair and background stay.

    Args:
        points: In pixels of a crop of `size` px (`to_square`); 128 px are enough for a mask.
    """
    brows, chin = points[17:27], points[8]
    # No landmark lies on the forehead: it reaches as far above the brows as a third of the face.
    forehead = brows + (brows.mean(0) - chin) * 0.35
    outline = np.concatenate([points[:17], forehead[::-1]]) + 0.5
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in outline.tolist()], fill=255)
    soft = canvas.filter(ImageFilter.GaussianBlur(0.03 * size))
    return np.asarray(soft) / 255 * soft_mask(size, 0.04)
