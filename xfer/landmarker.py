"""Google's Face Landmarker: a face's 478 points, 52 blendshapes, and the factors of its motion.

`LandmarkerTwin` is differentiable PyTorch, for losses and gradients. Both read the same file, the
asset `face-landmarker` (Apache-2.0), which holds three TensorFlow Lite networks.
"""

import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.assets import asset_path
from xfer.errors import BadFile
from xfer.shapes import Image
from xfer.tflite import tflite_module

# fmt: off
BLENDSHAPES = (
    "neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
"""Left and right are the person's own."""

BLENDSHAPE_POINTS = [
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
    284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
    332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
    386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472,
    473, 474, 475, 476, 477,
]
"""The 146 of the 478 points that the blendshape network reads."""
# fmt: on


FACTOR_UNITS = {
    "yaw": 15.0,  # degrees, positive towards the image's right
    "pitch": 7.5,  # degrees, positive upwards
    "lip_gap": 0.12,  # between the inner lips, over the distance of the eyes
    "smile": 0.24,  # blendshapes, mean of both sides; so are pucker, brow_down and upper_lip
    "pucker": 0.12,
    "lids": 0.10,  # height of the eyes' opening over its width
    "brow_up": 0.05,  # from the root of the nose up to the brows, over the distance of the eyes
    "brow_down": 0.2,
    "gaze_x": 0.3,  # blendshapes of both eyes, against the head: towards the image's right
    "gaze_y": 0.2,  # the same: of looking up, less of looking down
    "upper_lip": 0.2,
}
"""Names of the factors of motion, and how far one unit of each goes (about the spread in FFHQ)."""

FACTORS = tuple(FACTOR_UNITS)


def read_factors(
    landmarks: Float[Tensor, "batch 478 3"], blendshapes: Float[Tensor, "batch 52"]
) -> Float[Tensor, "batch n_factors"]:
    """Factors of motion, in the order of `FACTORS`; the one definition, for reading and training.

    Yaw and pitch come from the plane through both eyes, forehead and base of the nose, points that
    no expression moves, and are scaled to the degrees of the fitted head model. Gaze comes from
    blendshapes: the iris points leap where glasses or lids cover them.

    Args:
        landmarks: Points in an upright face's image, of any scale.
        blendshapes: Of the same faces.
    """
    p = landmarks.unbind(1)
    shape = dict(zip(BLENDSHAPES, blendshapes.unbind(1), strict=True))
    eye_a, eye_b = (p[33] + p[133]) / 2, (p[362] + p[263]) / 2
    width_a, width_b = length(p[133] - p[33]), length(p[263] - p[362])
    across, down = eye_b - eye_a, p[2] - p[10]
    scale = length(across)
    inward = F.normalize(torch.linalg.cross(across, down), dim=1)
    lids = (length(p[159] - p[145]) / width_a + length(p[386] - p[374]) / width_b) / 2
    brows = (p[66] + p[105] + p[296] + p[334]) / 4 - p[168]
    to_right = shape["eyeLookInRight"] + shape["eyeLookOutLeft"]
    to_left = shape["eyeLookOutRight"] + shape["eyeLookInLeft"]
    both = lambda name: (shape[f"{name}Left"] + shape[f"{name}Right"]) / 2
    factors = {
        "yaw": 0.87 * torch.rad2deg(torch.atan2(-inward[:, 0], inward[:, 2])),
        "pitch": 0.85 * torch.rad2deg(torch.asin(inward[:, 1].clamp(-0.99, 0.99))) - 4.6,
        "lip_gap": length(p[13] - p[14]) / scale,
        "smile": both("mouthSmile"),
        "pucker": (shape["mouthPucker"] + shape["mouthFunnel"]) / 2,
        "lids": lids,
        "brow_up": -(brows * F.normalize(down, dim=1)).sum(1) / scale,
        "brow_down": both("browDown"),
        "gaze_x": (to_right - to_left) / 2,
        "gaze_y": both("eyeLookUp") - both("eyeLookDown"),
        "upper_lip": both("mouthUpperUp"),
    }
    return torch.stack([factors[name] for name in FACTORS], 1)


def length(vector: Float[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    return vector.square().sum(1).clamp(min=1e-12).sqrt()


class LandmarkerTwin(nn.Module):
    """Points and blendshapes of aligned faces, differentiable; the whole image is the region."""

    def __init__(self, file: str | Path | None = None):
        """
        Args:
            file: face_landmarker.task; the fetched asset by default.
        """
        super().__init__()
        files = task_files(file)
        self.landmarks = tflite_module(files["face_landmarks_detector.tflite"])
        self.blendshapes = tflite_module(files["face_blendshapes.tflite"])
        index = torch.tensor(BLENDSHAPE_POINTS)
        self.register_buffer("blendshape_points", index, persistent=False)

    def forward(
        self, image: Image
    ) -> tuple[Float[Tensor, "batch 478 3"], Float[Tensor, "batch 52"]]:
        """
        Args:
            image: FFHQ-aligned faces; other sizes than 256 px are resized here.

        Returns:
            Points in pixels of a 256 px image (z as x, smaller is nearer), blendshapes in [0, 1].
        """
        if image.shape[2:] != (256, 256):
            image = F.interpolate(
                image, (256, 256), mode="bilinear", align_corners=False, antialias=True
            )
        points = self.landmarks((image.permute(0, 2, 3, 1) + 1) / 2)[0].reshape(-1, 478, 3)
        return points, self.blendshapes(points[:, self.blendshape_points, :2])


def task_files(file: str | Path | None = None) -> dict[str, bytes]:
    """Content of each file inside a .task bundle; the fetched asset by default."""
    path = asset_path("face-landmarker") if file is None else Path(file)
    try:
        with zipfile.ZipFile(path) as bundle:
            return {name: bundle.read(name) for name in bundle.namelist()}
    except zipfile.BadZipFile as error:
        raise BadFile(f"{path} is no Face Landmarker bundle: {error}") from error
