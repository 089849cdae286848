"""FaceReader: the faces of an image, or the main face of a video, found, followed and read."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from xfer.detectors import POINTS_68, Detector, Dlib, FaceAlignment
from xfer.errors import BadValue, MissingFile, NoFace
from xfer.landmarker import Landmarker, crop_region, region_of
from xfer.media.align import Quad, crop, ffhq_quad
from xfer.media.images import Pixels, to_tensor
from xfer.media.reader import Frame
from xfer.perceptual import PerceptualFeatures

LOOKED_AT = 13
"""Frames at a video's start in which its main face is chosen."""
FORGET_S = 1.0
"""Seconds without the face after which another one may be followed."""
REACH = 0.01
"""Of a crop's side: movements well above it are the head's, those below are mostly jitter."""
STILL, MOVING = 0.012, 0.03
"""Spread of a face's points over its width, of a portrait on the wall and of someone who talks."""
SMALLEST = 24
"""Width in pixels of the smallest face worth reading."""
N_ANIMALS = 398
"""The first of ImageNet's classes."""


@dataclass
class Face:
    """One face of an image. Left and right are the image's, except in names of blendshapes."""

    landmarks: Float[np.ndarray, "478 3"]
    """Pixels; z as x, smaller is nearer."""
    blendshapes: Float[np.ndarray, "52"]
    yaw_deg: float
    """Positive to the image's right."""
    pitch_deg: float
    """Positive upwards."""
    roll_deg: float
    """Positive clockwise."""
    n_faces: int
    """How many the image holds."""
    quad: Quad
    """Corners of the FFHQ crop; smoothed over time in videos."""
    factors: Float[np.ndarray, "n_factors"]
    """Read from that crop, as `xfer.landmarker.read_factors` has them."""

    @property
    def points68(self) -> Float[np.ndarray, "68 2"]:
        """The iBUG points, in pixels."""
        return self.landmarks[POINTS_68, :2]


class Found(NamedTuple):
    """Points of a face in an image."""

    points: Float[np.ndarray, "478 3"]

    @property
    def quad(self) -> Quad:
        return ffhq_quad(self.points[POINTS_68, :2])

    @property
    def width(self) -> float:
        """Of the face itself, in pixels."""
        return float(np.linalg.norm(self.points[454] - self.points[234]))

    def is_at(self, region) -> bool:
        """Whether it is the face that a region shows."""
        return bool(np.linalg.norm(self.points.mean(0)[:2] - region[:2]) < 0.5 * region[2])


class FaceReader:
    """Finds faces and reads them; one object may serve several threads.

    Images are uint8, height x width x 3.

    Args:
        detector: What finds faces; the landmarker reads them all.
    """

    def __init__(self, detector: Detector = "landmarker"):
        self.landmarker = Landmarker()
        self.finder = FaceFinder(self.landmarker, detector)

    def read(self, image: np.ndarray) -> list[Face]:
        """All faces, the main one first: the largest and most central."""
        image = checked(image)
        found = self.finder.find(image)
        return [self._face(image, one, len(found)) for one in found]

    def main(self, image: np.ndarray, face: int | None = None) -> Face:
        """The main face, or one by its place; `NoFace` says why there is none.

        Args:
            face: 1 for the leftmost, 2 for the next, and so on; None for the main one.
        """
        image = checked(image)
        found = self.finder.find(image)
        return self._face(image, chosen(found, face, image), len(found))

    def track(
        self,
        frames: Iterable[Frame],
        smoothing_s: float = 0.08,
        face: int | None = None,
        live: bool = False,
    ) -> Iterator[Face | None]:
        """The main face of each frame, None where it is lost; its crops do not jitter.

        The main face of a video is large, central and moves; a portrait on the wall does not.

        Args:
            smoothing_s: Standard deviation of the crop's smoothing in time. It looks as far ahead
                as back, so nothing lags; three times as many seconds of frames are read ahead.
            face: As in `main`, in the first frame that shows faces.
            live: Smooth by the past only, and the less the faster the face moves.
        """
        observed = self._follow(iter(frames), face, 1 if live else LOOKED_AT)
        for seen, quad in (smooth_behind if live else smooth_around)(observed, smoothing_s):
            yield seen.found and self._face(seen.image, seen.found, seen.n_faces, quad)

    def _follow(
        self, frames: Iterator[Frame], face: int | None, n_first: int
    ) -> Iterator["TrackedFrame"]:
        """The same face in each frame: near where it was, else found anew."""
        first = deque(itertools.islice(frames, n_first))
        people = self._people([image for image, _ in first], face)
        near, seen_s = people[0] if people else None, 0.0
        while first or (first := deque(itertools.islice(frames, 1))):
            image, time_s = first.popleft()
            found = None if near is None else self.finder.at(image, near)
            if found is None:
                every = self.finder.find(image, finest=4)
                if time_s - seen_s > FORGET_S:
                    people, face = [], None  # another shot, other people
                if every and not people:
                    main = chosen(every, face, image)
                    every = [main, *(one for one in every if one is not main)]
                found = the_same(every, people)
                people = people or [region_of(one.points) for one in every]
            near = None if found is None else region_of(found.points)
            if near is not None:
                people[0], seen_s = near, time_s
            yield TrackedFrame(image, time_s, found, len(people))

    def _people(self, images: list, face: int | None) -> list:
        """Regions of the faces in a video's first frames, that of the one to follow first."""
        every = [self.finder.find(image) for image in images[::4]]
        found = next((faces for faces in every if faces), None)
        if found is None:
            return []
        best = chosen(found, face, images[0])
        if face is None and len(found) > 1:
            same = [[the_same(faces, [region_of(one.points)]) for faces in every] for one in found]
            moves = np.array([motion([one for one in row if one is not None]) for row in same])
            if moves[0] < STILL and moves.max() > MOVING:
                best = found[int(moves.argmax())]
        others = [one for one in found if one is not best]
        return [region_of(one.points) for one in (best, *others)]

    def _face(self, image: Pixels, found: Found, n_faces: int, quad: Quad | None = None) -> Face:
        quad = found.quad if quad is None else quad
        _, factors, _ = self.landmarker.read_aligned(crop(image, quad, 256))
        return Face(
            found.points,
            self.landmarker.blendshapes(found.points),
            *self.landmarker.pose(found.points, *image.shape[1::-1]).tolist(),
            n_faces=n_faces,
            quad=quad,
            factors=factors,
        )


class TrackedFrame(NamedTuple):
    """What one frame of a video shows of the face that is followed."""

    image: Pixels
    time_s: float
    found: Found | None
    n_faces: int


def smooth_around(observed: Iterable[TrackedFrame], sd_s: float):
    """Each observation with a mean of the quads around it in time."""
    window: list[TrackedFrame] = []
    done = 0
    for seen in itertools.chain(observed, [None]):
        if seen is not None:
            window.append(seen)
        while done < len(window):
            time_s = window[done].time_s
            if seen is not None and seen.time_s <= time_s + 3 * sd_s:
                break  # more of the future is needed
            while window[0].time_s < time_s - 3 * sd_s:
                window.pop(0)
                done -= 1
            yield window[done], bilateral_mean(window, window[done], sd_s)
            done += 1


def bilateral_mean(window: list[TrackedFrame], centre: TrackedFrame, sd_s: float) -> Quad | None:
    """Weighted by nearness in time and in place: jitter goes, and a fast turn is not cut short."""
    if centre.found is None:
        return None
    near = [seen for seen in window if seen.found is not None]
    quads = np.stack([seen.found.quad for seen in near])
    late = np.array([seen.time_s - centre.time_s for seen in near]) / max(sd_s, 1e-6)
    off = distance(quads, centre.found.quad)
    return np.average(quads, axis=0, weights=np.exp(-0.5 * (late**2 + off**2)))


def smooth_behind(observed: Iterable[TrackedFrame], sd_s: float):
    """Each observation with a quad that follows its own, faster where the face moves fast."""
    state, time_s = None, 0.0
    for seen in observed:
        if seen.found is None or state is None:
            state = seen.found and seen.found.quad
        else:
            off = distance(seen.found.quad, state)
            share = 1 - np.exp(-(seen.time_s - time_s) / max(sd_s, 1e-6) * (1 + off**2))
            state = state + share * (seen.found.quad - state)
        time_s = seen.time_s
        yield seen, state


def distance(quads: np.ndarray, quad: Quad) -> np.ndarray | np.floating:
    """How far the corners of other quads are from a quad's, in units of `REACH`."""
    return np.abs(quads - quad).max((-2, -1)) / np.linalg.norm(quad[3] - quad[0]) / REACH


def the_same(found: list[Found], people: list) -> Found | None:
    """The face where the first of the people was, else the main one that is none of the others."""
    same = [one for one in found if people and one.is_at(people[0])]
    new = [one for one in found if not any(one.is_at(other) for other in people[1:])]
    return next(iter(same + new), None)


def motion(found: list[Found]) -> float:
    """How much a face's points move against one another and in the image, over its width."""
    points = np.stack([one.points[:, :2] for one in found])
    return float(points.std(0).mean() / found[0].width)


class FaceFinder:
    """Finds faces with the landmarker or another detector, and leaves out animals."""

    def __init__(self, landmarker: Landmarker, detector: Detector = "landmarker"):
        self.landmarker = landmarker
        others = {"dlib": Dlib, "face-alignment": FaceAlignment, "landmarker": lambda: landmarker}
        self._detect = others[detector]().detect
        try:
            self._classifier = PerceptualFeatures()
        except MissingFile:  # then nothing tells animals from people
            self._classifier = None

    def find(self, image: Pixels, finest: int = 8) -> list[Found]:
        """Human faces, the largest and most central first.

        The detector sees faces down to a sixth of its image. So it gets the whole one, then its
        halves if no face fills a third of it, then its quarters and eighths if there is none.

        Args:
            finest: 2, 4 or 8: when to stop.
        """
        found: list[Found] = []
        whole = max(image.shape[:2])
        for parts in (1, 2, 4, 8):
            side = whole / parts
            large = any(one.width > 0.3 * whole for one in found)
            if large or parts > finest or (parts > 2 and found) or (parts > 1 and side < 64):
                break
            found += self._within(image, side, found)
        size = np.array(image.shape[1::-1])
        off = lambda one: np.linalg.norm((one.points[:, :2].mean(0) - size / 2) / size)
        return sorted(found, key=lambda one: -one.width * (1 - 0.7 * min(off(one), 1)))

    def _within(self, image: Pixels, side: float, known: list[Found]) -> list[Found]:
        """New human faces in half overlapping squares that cover the image."""
        starts = (
            np.linspace(0, max(n - side, 0), 1 + int(np.ceil(max(n - side, 0) / (side / 2))))
            for n in image.shape[:2]
        )
        found: list[Found] = []
        for y, x in itertools.product(*(np.rint(start).astype(int) for start in starts)):
            for region in self._detect(image[y : y + round(side), x : x + round(side)]):
                region = region + np.array([x, y, 0, 0, 0])
                if any(one.is_at(region) for one in known + found):
                    continue
                again = lambda region: region_of(self.landmarker.landmarks(image, region)[0])
                one = self.at(image, region) or self.at(image, again(region))
                if one and not self._is_animal(image, one):
                    found.append(one)
        return found

    def at(self, image: Pixels, region) -> Found | None:
        """The face in a region, if there is one."""
        points, score = self.landmarker.landmarks(image, region)
        return Found(points) if score >= 0.5 else None

    def _is_animal(self, image: Pixels, found: Found) -> bool:
        if self._classifier is None:
            return False
        x, y, side, angle = region_of(found.points)
        view = crop_region(image, (x, y, 1.5 * side, angle), 224, edge=True)
        with torch.inference_mode():
            classes = self._classifier.classify(to_tensor(view))[0]
        return float(classes[:N_ANIMALS].sum()) > 0.7


def chosen(found: list[Found], face: int | None, image: Pixels) -> Found:
    """The main face or the one at a place from the left; NoFace says why there is none."""
    if not found:
        shape = f"{image.shape[1]} x {image.shape[0]} px"
        raise NoFace(f"no human face of {SMALLEST} px or more was found in the image of {shape}")
    if face is not None and not 1 <= face <= len(found):
        raise NoFace(f"face {face} from the left is required, and the image has {len(found)}")
    from_left = sorted(found, key=lambda one: one.points[:, 0].mean())
    one = found[0] if face is None else from_left[face - 1]
    if one.width < SMALLEST:
        raise NoFace(f"the face is {one.width:.0f} px wide, at least {SMALLEST} px are needed")
    return one


def checked(image: np.ndarray) -> Pixels:
    image = np.ascontiguousarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BadValue(f"an image is uint8, height x width x 3; got {image.dtype} {image.shape}")
    return image
