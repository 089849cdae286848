"""Drivers as frames with the place of their face: pictures, and videos read as streams.

A video is read twice: once for the landmarks, which are smoothed over the whole clip and so
without delay, once for the pictures. So memory stays flat however long it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.crop import Crop, ffhq_crop, picture_to_crop
from xfer.errors import BadFile, MissingFile, NoFace
from xfer.media.align import LONGEST_SIDE, align
from xfer.media.detectors import Detector, Points
from xfer.media.kinds import kind_of
from xfer.media.landmarks import find_face
from xfer.media.pictures import Pixels, picture_source, read_pixels
from xfer.media.provenance import Source
from xfer.media.quality import MOST_PITCH_DEG, MOST_YAW_DEG, CutFinder, head_pose
from xfer.media.smoothing import segments, smooth
from xfer.media.tracking import Tracker
from xfer.media.video import Frame, VideoReader
from xfer.media.video_out import video_source
from xfer.pixels import from_uint8
from xfer.reenact.studio import say

LEAST_EDGE = 24
"""Pictures with fewer pixels along an edge are refused: nothing of a face can be read there."""
POINTS_SMOOTHING = 0.25
"""Smoothing of the landmarks that motion is read from, as a share of the crops'."""


class Place(NamedTuple):
    """Where a face is in its picture."""

    crop: Crop
    landmarks: Float[Tensor, "1 68 2"] | None
    """In crop coordinates; None where nobody looked for them."""


class Sight(NamedTuple):
    """One frame of a driver."""

    frame: Frame
    place: Place | None
    """None while no face is in sight."""


@dataclass
class Driver:
    """A picture or a video that drives."""

    path: Path
    is_video: bool
    places: dict[int, Place] = field(default_factory=dict)
    """By frame number."""
    frames: int = 1
    rendered: bool = False
    """Whether it says of itself that it was rendered, as the face world's clips do."""
    reader: Iterable[Frame] | None = None
    """Gives a video's frames, anew at every reading."""

    def __iter__(self) -> Iterator[Sight]:
        """Every frame, in order."""
        for frame in self.reader or [Frame(read_pixels(self.path), 0.0, 0)]:
            yield Sight(frame, self.places.get(frame.number))


def whole_square(pixels: Pixels) -> Crop:
    """The crop of a picture that is aligned already: the largest square in its middle."""
    height, width = pixels.shape[:2]
    center = torch.tensor([[(width - 1) / 2, (height - 1) / 2]])
    return Crop(center, torch.tensor([[min(height, width) / 2, 0.0]]))


def whole_place(pixels: Pixels, points: Points | None = None) -> Place:
    """The place of a face whose picture is aligned already; landmarks where they are known."""
    crop = whole_square(pixels)
    if points is None:
        return Place(crop, None)
    return Place(crop, picture_to_crop(crop, torch.from_numpy(points)[None]))


def cut(pixels: Pixels, crop: Crop, size: int, careful: bool) -> Float[Tensor, "1 3 size size"]:
    """The aligned picture; `careful` as FFHQ was made, else as fast as nothing is skipped.

    A picture that is this very square stays as it is.
    """
    whole = whole_square(pixels)
    if pixels.shape[:2] == (size, size) and all(map(torch.equal, crop, whole)):
        return from_uint8(pixels[None])
    return from_uint8(align(pixels, crop, size, 4 if careful else None)[None])


def open_driver(
    path: str | Path,
    detector: Detector | None,
    smoothing_s: float = 0.12,
    aligned: bool = False,
) -> Driver:
    """Find the face in a picture or, frame by frame, in a video.

    Args:
        detector: None finds no landmarks: the frames are aligned squares already.
        aligned: Take the frames for aligned squares also where landmarks are found.

    Raises:
        MissingFile, BadFile: There is no such file; it is damaged, or neither picture nor video.
        NoFace: No face is in it.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(f"there is no driver {path}")
    kind = kind_of(path)
    if kind is None:
        raise BadFile(f"{path} is neither a picture nor a video")
    if kind == "picture":
        place = find_place(read_pixels(path), detector, str(path), aligned)
        if detector is not None and place.landmarks is None:
            raise NoFace(
                f"no face was found in {path}, whose motion is to be read from landmarks; "
                "with --read pictures nobody looks for them"
            )
        return Driver(path, False, {0: place}, 1, is_rendered(path))
    driver = Driver(path, True, reader=VideoReader(path), rendered=is_rendered(path))
    return _looked_through(driver, detector, smoothing_s, aligned)


def is_rendered(path: Path) -> bool:
    """Whether a file says of itself that it was rendered, as the face world's do."""
    source = {"picture": picture_source, "video": video_source, None: lambda _: None}
    return source[kind_of(path)](path) is Source.RENDERED


def find_place(
    pixels: Pixels, detector: Detector | None, name: str, aligned: bool = False
) -> Place:
    """The main face of a picture; says what may spoil the result."""
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_EDGE:
        raise NoFace(
            f"{name} has {width} x {height} pixels, too few to show a face; "
            f"at least {LEAST_EDGE} along each edge are needed"
        )
    face = find_face(detector, pixels) if detector else None
    if aligned:
        return whole_place(pixels, None if face is None else face.points)
    if face is None:
        raise NoFace(
            f"no face was found in {name} ({width} x {height} pixels); a face should be at least "
            "40 pixels wide and not seen from the side; aligned squares are taken as they are "
            "with --aligned"
        )
    if face.others:
        say(f"{name} shows {face.others + 1} faces: the largest is taken")
    yaw, pitch, _ = head_pose(face.points)
    if abs(yaw) > MOST_YAW_DEG or abs(pitch) > MOST_PITCH_DEG:
        say(f"{name}: the head is turned by {max(abs(yaw), abs(pitch)):.0f} deg; expect less")
    return place_of(face.points, face.points)


def place_of(for_crop: Points, points: Points) -> Place:
    """The crop of some landmarks, and the places of others in it."""
    crop = ffhq_crop(torch.from_numpy(for_crop)[None])
    return Place(crop, picture_to_crop(crop, torch.from_numpy(points)[None]))


def _looked_through(
    driver: Driver, detector: Detector | None, smoothing_s: float, aligned: bool
) -> Driver:
    """First reading: the face's place in every frame that shows it."""
    if detector is None:
        return _all_square(driver)
    tracker, cuts = Tracker(detector), CutFinder()
    numbers, times, shots, points, several = [], [], [], [], 0
    driver.frames = 0
    for frame in driver.reader:
        driver.frames += 1
        if cuts.is_cut(frame.pixels):
            tracker.reset()
        face = tracker.find(frame.pixels)
        if face is None or not makes_sense(face.points):
            continue
        several += face.others > 0
        numbers.append(frame.number)
        times.append(frame.time)
        shots.append(cuts.shot + tracker.takes)
        points.append(face.points)
    if not numbers:
        raise NoFace(f"no face was found in any of the {driver.frames} frames of {driver.path}")
    _remark(driver, several, len(numbers))
    clock, track = np.array(times), np.stack(points)
    pieces = segments(clock, np.array(shots))
    read = smooth(track, clock, pieces, POINTS_SMOOTHING * smoothing_s)
    if aligned:  # all frames of a video have one size
        places = (whole_place(frame.pixels, points) for points in read)
    else:
        places = map(place_of, smooth(track, clock, pieces, smoothing_s), read)
    driver.places = dict(zip(numbers, places, strict=True))
    return driver


def _all_square(driver: Driver) -> Driver:
    driver.frames = 0
    for frame in driver.reader:
        driver.places[frame.number] = whole_place(frame.pixels)
        driver.frames += 1
    return driver


def makes_sense(points: Points) -> bool:
    """Whether a crop of these landmarks is of a possible size."""
    side = float(ffhq_crop(torch.from_numpy(points)[None]).side)
    return 8 <= side <= LONGEST_SIDE


def _remark(driver: Driver, several: int, found: int) -> None:
    """What the owner of a driver should know."""
    lost, skipped = driver.frames - found, getattr(driver.reader, "skipped", 0)
    if several:
        say(f"{driver.path}: {several} frames show several faces; the main one is followed")
    if lost:
        say(f"{driver.path}: {lost} of {driver.frames} frames show no face; the last motion stays")
    if skipped:
        say(f"{driver.path}: {skipped} damaged packets were skipped")
