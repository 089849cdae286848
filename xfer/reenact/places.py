"""Where a face is in its picture, and the square cut out around it.

The places of a face in a whole video are kept small: half a kilobyte a frame, 50 MB for an hour.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xfer.crop import Crop, ffhq_crop, picture_to_crop
from xfer.media.align import LONGEST_SIDE, align
from xfer.media.detectors import Points
from xfer.media.pictures import Pixels
from xfer.media.smoothing import Track
from xfer.pixels import from_uint8


class Place(NamedTuple):
    """Where a face is in its picture."""

    crop: Crop
    landmarks: Float[Tensor, "1 68 2"] | None
    """In crop coordinates; None where nobody looked for them."""


class Places(Mapping[int, Place]):
    """The places of one face in a video, by frame number; each is made when it is asked for.

    Args:
        numbers: Increasing.
        crop: Of every frame, or one for all.
        points: In picture coordinates.
    """

    def __init__(self, numbers: Int[np.ndarray, " frames"], crop: Crop, points: Track):
        self._numbers, self._points = numbers, points
        self._crop = Crop(*(part.expand(len(points), -1) for part in crop))

    def __getitem__(self, number: int) -> Place:
        row = int(np.searchsorted(self._numbers, number))
        if row == len(self._numbers) or self._numbers[row] != number:
            raise KeyError(number)
        crop = Crop(*(part[row : row + 1] for part in self._crop))
        return _placed(crop, self._points[row])

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers.tolist())

    def __len__(self) -> int:
        return len(self._numbers)


def whole_square(pixels: Pixels) -> Crop:
    """The crop of a picture that is aligned already: the largest square in its middle."""
    height, width = pixels.shape[:2]
    center = torch.tensor([[(width - 1) / 2, (height - 1) / 2]])
    return Crop(center, torch.tensor([[min(height, width) / 2, 0.0]]))


def whole_place(pixels: Pixels, points: Points | None = None) -> Place:
    """The place of a face whose picture is aligned already; landmarks where they are known."""
    crop = whole_square(pixels)
    return Place(crop, None) if points is None else _placed(crop, points)


def place_of(for_crop: Points, points: Points) -> Place:
    """The crop of some landmarks, and the places of others in it."""
    return _placed(ffhq_crop(torch.from_numpy(for_crop)[None]), points)


def _placed(crop: Crop, points: Points) -> Place:
    return Place(crop, picture_to_crop(crop, torch.from_numpy(points)[None]))


def makes_sense(points: Points) -> bool:
    """Whether a crop of these landmarks is of a possible size."""
    side = float(ffhq_crop(torch.from_numpy(points)[None]).side)
    return 8 <= side <= LONGEST_SIDE


def cut(pixels: Pixels, crop: Crop, size: int, careful: bool) -> Float[Tensor, "1 3 size size"]:
    """The aligned picture; `careful` as FFHQ was made, else as fast as nothing is skipped.

    A picture that is this very square stays as it is.
    """
    whole = whole_square(pixels)
    if pixels.shape[:2] == (size, size) and all(map(torch.equal, crop, whole)):
        return from_uint8(pixels[None])
    return from_uint8(align(pixels, crop, size, 4 if careful else None)[None])
