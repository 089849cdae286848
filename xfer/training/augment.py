"""Photos of what the generator shows: damage that real inputs have and generated ones lack.

Encoders that learn from generated images alone see a few of these in every input. What they are to
predict stays that of the clean image.
"""

import io
import math

import numpy as np
import PIL.Image
import PIL.ImageFilter
from jaxtyping import Float, UInt8

Pixels = UInt8[np.ndarray, "height width 3"]
Levels = Float[np.ndarray, "height width 3"]


def degrade(image: Pixels, rng: np.random.Generator, occlude: float = 0.2) -> Pixels:
    """Another crop, other light, something in front, blur, noise, JPEG: some of them, at random.

    Args:
        occlude: How often something covers a part of the face.
    """
    levels = relight(np.asarray(another_crop(image, rng), np.float32), rng)
    if rng.random() < occlude:
        levels = cover(levels, rng)
    image = PIL.Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        image = blur(image, rng)
    if rng.random() < 0.4:
        levels = np.asarray(image, np.float32)
        levels = levels + rng.normal(0, rng.uniform(1, 12), levels.shape)
        image = PIL.Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        page = io.BytesIO()
        image.save(page, "JPEG", quality=int(rng.integers(25, 96)))
        image = PIL.Image.open(page).convert("RGB")
    return np.asarray(image)


def another_crop(image: Pixels, rng: np.random.Generator) -> PIL.Image.Image:
    """Turned, scaled and shifted as much as alignments of one face differ."""
    edge = image.shape[0]
    turn, scale = math.radians(rng.normal(0, 1.2)), math.exp(rng.normal(0, 0.02))
    shift = rng.normal(0, 0.01, 2) * edge
    a, b, pad = math.cos(turn) * scale, math.sin(turn) * scale, edge // 8
    middle = edge / 2
    x = middle + pad + shift[0] - a * middle - b * middle
    y = middle + pad + shift[1] + b * middle - a * middle
    padded = PIL.Image.fromarray(np.pad(image, ((pad, pad), (pad, pad), (0, 0)), "reflect"))
    placement = (a, b, x, -b, a, y)
    return padded.transform(
        (edge, edge), PIL.Image.Transform.AFFINE, placement, PIL.Image.Resampling.BILINEAR
    )


def relight(levels: Levels, rng: np.random.Generator) -> Levels:
    """Other exposure, contrast, colour of light and saturation; light from one side."""
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.05, 3))
    levels = 255 * (levels / 255) ** math.exp(rng.normal(0, 0.2)) * gain
    grey = levels.mean(2, keepdims=True)
    levels = grey + (levels - grey) * math.exp(rng.normal(0, 0.25))
    if rng.random() < 0.3:
        angle, (height, width) = rng.uniform(0, 2 * math.pi), levels.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        side = x * math.cos(angle) + y * math.sin(angle)
        levels = levels * np.exp(rng.uniform(0.1, 0.5) * side)[..., None]
    return levels.astype(np.float32)


def cover(levels: Levels, rng: np.random.Generator) -> Levels:
    """An ellipse of one colour, or of another part of the image, somewhere in front."""
    height, width = levels.shape[:2]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    centre, radii = rng.uniform(0.1, 0.9, 2), rng.uniform(0.04, 0.2, 2)
    inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    if rng.random() < 0.5:
        filling = np.broadcast_to(rng.uniform(0, 255, 3), levels.shape)
    else:
        filling = np.roll(levels[::-1], rng.integers(height), 0)
    return np.where(inside[..., None], filling, levels).astype(np.float32)


def blur(image: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """Out of focus, or from fewer pixels."""
    if rng.random() < 0.5:
        return image.filter(PIL.ImageFilter.GaussianBlur(image.width * rng.uniform(0.001, 0.008)))
    few = int(image.width * rng.uniform(0.3, 0.9))
    ways = (PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.BICUBIC, PIL.Image.Resampling.BOX)
    small = image.resize((few, few), ways[rng.integers(3)])
    return small.resize(image.size, ways[rng.integers(2)])
