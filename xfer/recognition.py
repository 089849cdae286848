"""Whose face it is: dlib's code, for evaluation only, and frozen networks that losses may use."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.assets import asset_path, locate
from xfer.backbones import Backbone, BackboneConfig, fit, sizes, translate
from xfer.checkpoints import Network, Storable, stored_config
from xfer.detectors import Dlib, face_box
from xfer.devices import best_device
from xfer.errors import MissingFile
from xfer.face_reader import FaceFinder, chosen
from xfer.landmarker import Landmarker, LandmarkerTwin
from xfer.media.images import Pixels
from xfer.perceptual import PerceptualFeatures
from xfer.shapes import Image
from xfer.tflite import tflite_module

Code = Float[Tensor, "batch code"]


def open_recogniser(name: str = "auto", device: str | torch.device = "cpu") -> nn.Module | None:
    """A recogniser for losses: aligned images (FFHQ crop, best at 256 px) to unit codes.

    Args:
        name: mobilefacenet, xfer, arcface, a file of a `FaceRecogniser`, or auto for the first of
            those that is here, None without any; the attribute `name` tells which.
    """
    if name == "auto":
        for one in RECOGNISERS:
            with contextlib.suppress(MissingFile):
                return open_recogniser(one, device)
        return None
    recogniser = RECOGNISERS.get(name, lambda: FaceRecogniser.load(locate(name)))()
    recogniser.name = name
    return recogniser.eval().requires_grad_(False).to(best_device(str(device)))


def open_measures(perceptual: float, identity: float, factors: float = 0) -> dict[str, nn.Module]:
    """The frozen networks that terms of these weights need: nothing is opened for 0."""
    measures: dict[str, nn.Module] = {}
    if perceptual:
        measures["perceptual"] = PerceptualFeatures()
    if identity:
        recogniser = open_recogniser()
        if recogniser is None:
            raise MissingFile("no recogniser for the identity: xfer weights fetch mobilefacenet")
        measures["identity"] = recogniser
    if factors:
        measures["landmarker"] = LandmarkerTwin()
    return measures


def frozen(network: nn.Module, device: torch.device) -> nn.Module:
    """A network that only measures or renders."""
    return network.to(device).eval().requires_grad_(False)


class MobileFaceNet(nn.Module):
    """192 numbers; Chen et al., "MobileFaceNets", 2018; the asset `mobilefacenet` (MIT)."""

    ROWS, COLUMNS = slice(54, 222), slice(44, 212)
    """Of an aligned image of 256 px, what the network saw in training, at 112 px."""

    def __init__(self):
        super().__init__()
        self.network = tflite_module(asset_path("mobilefacenet").read_bytes())

    def forward(self, image: Image) -> Code:
        face = fit(image, 256)[:, :, self.ROWS, self.COLUMNS]
        face = F.interpolate(face, (112, 112), mode="bilinear", antialias=True)
        return F.normalize(self.network(face.permute(0, 2, 3, 1) * (127.5 / 128)), dim=1)


@dataclass(frozen=True)
class FaceRecogniserConfig(BackboneConfig):
    """Sizes of a face recogniser. The defaults are those of the public ArcFace IR-SE50."""

    resolution: int = 112
    embedding: int = 512
    """Numbers of a code."""
    dropout: float = 0.5
    """Share of features left out in training."""


ARCFACE_NAMES = {r"^output_layer\.": "head."}
"""Tensor names of the public ArcFace file, beside those of the body, and ours."""


class FaceRecogniser(Storable, nn.Module):
    """IR-SE, public or our own; Deng et al., "ArcFace", CVPR 2019."""

    role = "face_recogniser"
    ROWS, COLUMNS = slice(35, 223), slice(32, 220)
    """What public code (pSp, ReStyle) cuts out of aligned images of 256 px."""

    def __init__(self, config: FaceRecogniserConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        width = config.channels[-1]
        self.head = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(config.dropout),
            nn.Flatten(),
            nn.Linear(width * config.features**2, config.embedding),
            nn.BatchNorm1d(config.embedding),
        )

    @classmethod
    def unpack(cls, network: Network) -> tuple[FaceRecogniserConfig, Mapping[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(FaceRecogniserConfig, network), network.tensors
        state = translate(network.tensors, ARCFACE_NAMES)
        known = sizes(state)
        embedding, inputs = state["head.3.weight"].shape
        edge = math.isqrt(inputs // known["channels"][-1])
        known["resolution"] = edge << len(known["channels"])
        return FaceRecogniserConfig(**known, embedding=embedding), state

    def forward(self, image: Image) -> Code:
        return self.embed(fit(image, 256)[:, :, self.ROWS, self.COLUMNS])

    def embed(self, face: Image) -> Code:
        """Unit codes of faces that fill their image."""
        return F.normalize(self.head(self.backbone(fit(face, self.config.resolution))), dim=1)


RECOGNISERS = {
    "mobilefacenet": MobileFaceNet,
    "xfer": lambda: FaceRecogniser.load(locate("recogniser")),
    "arcface": lambda: FaceRecogniser.load(locate("arcface-ir-se50")),
}


class DlibRecogniser:
    """dlib's face recognition network: a judge. It trains nothing, so no loss may use it."""

    THRESHOLD = 0.6
    """Distance below which two images show one person."""

    def __init__(self):
        self._dlib = Dlib()
        self._points = self._dlib.predictor(5)
        file = self._dlib.folder / "dlib_face_recognition_resnet_model_v1.dat"
        self._network = self._dlib.dlib.face_recognition_model_v1(str(file))
        self._finder = None

    def code(self, image: Pixels) -> Float[np.ndarray, "128"]:
        """The code of the largest face that dlib or else the landmarker finds, or `NoFace`."""
        image = np.ascontiguousarray(image)
        shape = self._points(image, self._dlib.box(*self._square(image)))
        return np.array(self._network.compute_face_descriptor(image, shape), np.float32)

    @staticmethod
    def distance(a: Float[np.ndarray, "128"], b: Float[np.ndarray, "128"]) -> float:
        """Between the codes of two images: 0 for one image, about 0.75 for two people."""
        return float(np.linalg.norm(a - b))

    def _square(self, image: Pixels) -> tuple[float, float, float]:
        """Centre and side of the largest face."""
        step = max(1, min(image.shape[:2]) // 384)  # dlib needs 80 px of a face
        boxes = self._dlib.boxes(np.ascontiguousarray(image[::step, ::step]), int(step == 1))
        if boxes:
            box = max(boxes, key=lambda b: b.area())
            side = (box.width() + box.height()) / 2
            return box.center().x * step, box.center().y * step, side * step
        self._finder = self._finder or FaceFinder(Landmarker())
        return face_box(chosen(self._finder.find(image), None, image).points)
