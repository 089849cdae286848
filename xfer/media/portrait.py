"""From any photograph to the aligned face in it, in one call."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.crop import Crop, ffhq_crop, picture_to_crop
from xfer.errors import NoFace
from xfer.media.align import align
from xfer.media.detectors import Detector, open_detector
from xfer.media.landmarks import find_face
from xfer.media.pictures import Pixels, read_pixels
from xfer.pixels import from_uint8


class Portrait(NamedTuple):
    """The main face of a picture, aligned as FFHQ was."""

    image: Float[Tensor, "1 3 size size"]
    crop: Crop
    """Where it was cut out, in pixels: for pasting back."""
    landmarks: Float[Tensor, "1 68 2"]
    """In crop coordinates: the edges are -1 and 1."""
    others: int
    """How many more faces were in sight."""


def read_portrait(path: str | Path, size: int, landmarks: str = "auto") -> Portrait:
    """The aligned main face of a picture file.

    Args:
        size: Edge of the result in pixels.
        landmarks: Reader of landmarks: auto, face-alignment or dlib.

    Raises:
        BadFile: The file is no picture, or a damaged one.
        NoFace: No face was found in it.
    """
    return take_portrait(read_pixels(path), open_detector(landmarks), size, str(path))


def take_portrait(
    pixels: Pixels, detector: Detector, size: int, name: str = "the picture"
) -> Portrait:
    """The aligned main face of a picture; `name` stands in the error."""
    face = find_face(detector, pixels)
    if face is None:
        height, width = pixels.shape[:2]
        raise NoFace(
            f"no face was found in {name} ({width} x {height} pixels); a face should be upright, "
            "at least 40 pixels wide, and not seen from the side"
        )
    points = torch.from_numpy(face.points)[None]
    crop = ffhq_crop(points)
    image = from_uint8(align(pixels, crop, size)[None])
    return Portrait(image, crop, picture_to_crop(crop, points), face.others)
