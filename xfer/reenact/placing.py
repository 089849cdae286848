"""How a result is shown: alone, tilted, pasted back, or beside driver and identity."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xfer.crop import Crop
from xfer.errors import expect
from xfer.media.align import align, face_mask, paste_back, soft_mask
from xfer.media.pictures import Pixels
from xfer.media.provenance import Source
from xfer.pixels import from_uint8, to_uint8
from xfer.reenact.identities import Photo, Subject
from xfer.reenact.moments import Moment
from xfer.reenact.places import Place
from xfer.reenact.settings import Settings

Result = Float[Tensor, "1 3 size size"]
Show = Callable[[Moment, Result], Pixels]


def source_of(settings: Settings) -> Source:
    """What outputs say of their origin."""
    return Source.GENERATED if settings.paste == "none" else Source.COMPOSITE


def shower(settings: Settings, subject: Subject, first: Moment) -> Show:
    """What makes the picture to be written of every result, in order.

    Args:
        first: Of the driver; says whether it has a picture to paste into.
    """
    place = {"none": _alone, "photo": _into_photo, "driver": _into_driver}[settings.paste]
    show = place(settings, subject, first)
    if not settings.compare:
        return show
    identity = to_uint8(subject.portrait)[0]
    return lambda moment, image: _side_by_side(moment, identity, show(moment, image))


def _alone(settings: Settings, subject: Subject, first: Moment) -> Show:
    tilt = _tilt(settings, 0.0)

    def show(moment: Moment, image: Result) -> Pixels:
        pixels, roll = to_uint8(image)[0], tilt(moment)
        return tilted(pixels, roll) if roll else pixels

    return show


def _into_photo(settings: Settings, subject: Subject, first: Moment) -> Show:
    photo = subject.photo
    expect(photo is not None, f"there is no photo to paste into: the identity is {subject.name}")
    tilt = _tilt(settings, float(photo.place.crop.roll_deg))

    def show(moment: Moment, image: Result) -> Pixels:
        crop = _turned(photo.place.crop, tilt(moment))
        return paste_back(photo.pixels, image, crop, _mask(settings, photo.place, image))

    return show


def _into_driver(settings: Settings, subject: Subject, first: Moment) -> Show:
    expect(
        first.frame is not None,
        "there is no driver's picture to paste into; leave --paste away, or paste into the photo",
    )

    def show(moment: Moment, image: Result) -> Pixels:
        if moment.place is None:
            return moment.frame.pixels
        mask = _mask(settings, moment.place, image)
        return paste_back(moment.frame.pixels, image, moment.place.crop, mask)

    return show


def _mask(settings: Settings, place: Place, image: Result) -> Float[Tensor, "1 1 size size"]:
    if settings.mask == "square" or place.landmarks is None:
        return soft_mask(image.shape[-1])
    return face_mask(place.landmarks, image.shape[-1])


def _tilt(settings: Settings, own: float) -> Callable[[Moment], float]:
    """Tilt of the result in degrees: the person's own, or moved to the driver's.

    Relative tilt starts from the driver's at its first sight; a face out of sight keeps the last.
    """
    start, last = None if settings.relative else own, own

    def tilt(moment: Moment) -> float:
        nonlocal start, last
        if settings.roll and moment.place:
            roll = float(moment.place.crop.roll_deg)
            start = roll if start is None else start
            last = own + settings.strength * (roll - start)
        return last

    return tilt


def _turned(crop: Crop, roll_deg: float) -> Crop:
    """The crop with this tilt."""
    angle, length = math.radians(roll_deg), crop.half.norm(dim=1, keepdim=True)
    return Crop(crop.center, length * torch.tensor([[math.cos(angle), math.sin(angle)]]))


def tilted(pixels: Pixels, roll_deg: float) -> Pixels:
    """The picture turned about its middle, clockwise on screen; edges are continued softly."""
    middle = (len(pixels) - 1) / 2
    square = Crop(torch.full((1, 2), middle), torch.tensor([[len(pixels) / 2, 0.0]]))
    return align(pixels, _turned(square, -roll_deg), len(pixels), None)


def _side_by_side(moment: Moment, identity: Pixels, result: Pixels) -> Pixels:
    """Driver, identity and result, all of the result's height."""
    height = len(result)
    driver = moment.aligned
    parts = [] if driver is None else [to_uint8(driver)[0]]
    parts = [_of_height(part, height) for part in (*parts, identity)]
    return np.ascontiguousarray(np.concatenate([*parts, result], axis=1))


def _of_height(pixels: Pixels, height: int) -> Pixels:
    width = max(1, round(pixels.shape[1] * height / len(pixels)))
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def as_image(pixels: Pixels) -> Float[Tensor, "1 3 height width"]:
    """One picture as a tensor."""
    return from_uint8(pixels[None])


__all__ = ["Photo", "as_image", "shower", "source_of", "tilted"]
