"""Drivers as frames with the place of their face: pictures, and videos read as streams.

A video is read twice: once for the landmarks, which are smoothed over the whole clip and so
without delay, once for the pictures. So no pictures are kept however long it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch

from xfer.crop import ffhq_crop
from xfer.errors import BadFile, MissingFile, NoFace
from xfer.media.detectors import Detector
from xfer.media.kinds import kind_of
from xfer.media.landmarks import Face, find_face
from xfer.media.pictures import Pixels, picture_source, read_pixels
from xfer.media.provenance import Source
from xfer.media.quality import MOST_PITCH_DEG, MOST_YAW_DEG, head_pose
from xfer.media.smoothing import segments, smooth
from xfer.media.tracking import Tracker
from xfer.media.video import Frame, VideoReader
from xfer.media.video_out import video_source
from xfer.reenact.following import Followed, cut_out, follow
from xfer.reenact.places import Place, Places, place_of, whole_place, whole_square
from xfer.reenact.studio import say

LEAST_EDGE = 24
"""Pictures with fewer pixels along an edge are refused: nothing of a face can be read there."""
POINTS_SMOOTHING = 0.25
"""Smoothing of the landmarks that motion is read from, as a share of the crops'."""


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
    places: Mapping[int, Place] = field(default_factory=dict)
    """By frame number."""
    frames: int = 1
    rendered: bool = False
    """Whether it says of itself that it was rendered, as the face world's clips do."""
    reader: Iterable[Frame] | None = None
    """Gives a video's frames, anew at every reading."""
    said: set[str] = field(default_factory=set)

    def remark(self, text: str) -> None:
        """Say something of it, once however often it is read."""
        if text not in self.said:
            say(text)
            self.said.add(text)

    def __iter__(self) -> Iterator[Sight]:
        """Every frame, in order."""
        for frame in self.reader or [Frame(read_pixels(self.path), 0.0, 0)]:
            yield Sight(frame, self.places.get(frame.number))


def open_driver(
    path: str | Path,
    detector: Detector | None,
    smoothing_s: float = 0.12,
    aligned: bool = False,
    only_first: bool = False,
) -> Driver:
    """Find the face in a picture or, frame by frame, in a video.

    Args:
        detector: None finds no landmarks: the frames are aligned squares already.
        aligned: Take the frames for aligned squares also where landmarks are found.
        only_first: Of a video, read no further than to the first frame that shows the face, and
            take it for the whole.

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
    if only_first:
        return _first_frame(driver, detector, aligned)
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
    _say_of_others(name, face)
    yaw, pitch, _ = head_pose(face.points)
    if abs(yaw) > MOST_YAW_DEG or abs(pitch) > MOST_PITCH_DEG:
        say(f"{name}: the head is turned by {max(abs(yaw), abs(pitch)):.0f} deg; expect less")
    return place_of(face.points, face.points)


def _say_of_others(name: str | Path, face: Face) -> None:
    if face.others:
        say(f"{name} shows {face.others + 1} faces: the largest is taken")


def _first_frame(driver: Driver, detector: Detector | None, aligned: bool) -> Driver:
    """A driver of one frame, the first that shows the face."""
    tracker, frames = Tracker(detector) if detector else None, 0
    for frame in driver.reader:
        frames += 1
        face = cut_out(tracker, frame) if tracker else None
        if tracker and face is None:
            continue
        if face:
            _say_of_others(driver.path, face)
        points = face.points if face else None
        whole = aligned or points is None
        place = whole_place(frame.pixels, points) if whole else place_of(points, points)
        return replace(driver, places={frame.number: place}, reader=[frame])
    raise _no_face(driver, frames)


def _looked_through(
    driver: Driver, detector: Detector | None, smoothing_s: float, aligned: bool
) -> Driver:
    """First reading: the face's place in every frame that shows it."""
    if detector is None:
        return _all_square(driver)
    found = follow(driver.reader, detector)
    driver.frames = found.frames
    if not len(found.numbers):
        raise _no_face(driver, found.frames)
    _remark(driver, found)
    pieces = segments(found.times, found.shots)
    smoothed = lambda seconds: smooth(found.points, found.times, pieces, seconds)
    if aligned:  # all frames of a video have one size
        crop = whole_square(found.last_frame)
    else:
        crop = ffhq_crop(torch.from_numpy(smoothed(smoothing_s)))
    driver.places = Places(found.numbers, crop, smoothed(POINTS_SMOOTHING * smoothing_s))
    return driver


def _all_square(driver: Driver) -> Driver:
    """Every frame is an aligned square, and all frames of a video have one size."""
    numbers, place = [], None
    for frame in driver.reader:
        place = place or whole_place(frame.pixels)
        numbers.append(frame.number)
    driver.places, driver.frames = dict.fromkeys(numbers, place), len(numbers)
    return driver


def _no_face(driver: Driver, frames: int) -> NoFace:
    return NoFace(f"no face was found in any of the {frames} frames of {driver.path}")


def _remark(driver: Driver, found: Followed) -> None:
    """What the owner of a driver should know."""
    lost, skipped = found.frames - len(found.numbers), getattr(driver.reader, "skipped", 0)
    if found.several:
        say(f"{driver.path}: {found.several} frames show several faces; the main one is followed")
    if lost:
        say(f"{driver.path}: {lost} of {found.frames} frames show no face; the last motion stays")
    if skipped:
        say(f"{driver.path}: {skipped} damaged packets were skipped")
