"""Google's Face Landmarker: a face's 478 points, 52 blendshapes, and the factors of its motion.

`Landmarker` runs in OpenVINO and finds and reads faces anywhere in an image; `LandmarkerTwin` is
differentiable PyTorch for aligned faces. Both read the same file, the asset `face-landmarker`
(Apache-2.0): three TensorFlow Lite networks and a head model.
"""

import threading
import zipfile
from collections import defaultdict

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from jaxtyping import Float, UInt8
from PIL import Image as Pillow
from torch import Tensor, nn

from xfer.assets import asset_path
from xfer.media.images import Pixels
from xfer.shapes import Image
from xfer.tflite import read_tflite, tflite_module

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

    def __init__(self):
        super().__init__()
        files = task_files()
        self.landmarks = tflite_module(files["face_landmarks_detector.tflite"])
        self.blendshapes = tflite_module(files["face_blendshapes.tflite"])
        index = torch.tensor(BLENDSHAPE_POINTS)
        self.register_buffer("blendshape_points", index, persistent=False)

    def forward(
        self, image: Image
    ) -> tuple[Float[Tensor, "batch 478 3"], Float[Tensor, "batch 52"]]:
        """Points in pixels of a 256 px image (z as x, smaller is nearer), blendshapes in [0, 1].

        Args:
            image: FFHQ-aligned faces; other sizes than 256 px are resized here.
        """
        if image.shape[2:] != (256, 256):
            image = F.interpolate(
                image, (256, 256), mode="bilinear", align_corners=False, antialias=True
            )
        points = self.landmarks((image.permute(0, 2, 3, 1) + 1) / 2)[0].reshape(-1, 478, 3)
        return points, self.blendshapes(points[:, self.blendshape_points, :2])


# Centres of the detector's boxes, several at each of cells x cells places.
ANCHORS = np.concatenate([
    ((np.mgrid[:cells, :cells][::-1].reshape(2, -1).T + 0.5) / cells).repeat(boxes, 0)
    for cells, boxes in ((16, 2), (8, 6))
]).astype(np.float32)  # fmt: skip


class Landmarker:
    """Google's networks in OpenVINO: regions of faces, points, blendshapes and head pose.

    A region is (x, y, size, angle): centre and side of a square in pixels, and its turn in radians,
    clockwise. One object may serve several threads.
    """

    def __init__(self):
        files = task_files()
        self._detector = compiled(files["face_detector.tflite"])
        self._landmarks = compiled(files["face_landmarks_detector.tflite"])
        self._blendshapes = compiled(files["face_blendshapes.tflite"])
        self._head = HeadModel(files["geometry_pipeline_metadata_landmarks.binarypb"])
        self._lock = threading.Lock()

    def detect(self, image: Pixels) -> Float[np.ndarray, "n 5"]:
        """Regions of faces with their scores of half or more, best first."""
        height, width = image.shape[:2]
        side = max(height, width)
        square = crop_region(image, (width / 2, height / 2, side, 0.0), 128)
        with self._lock:
            boxes, scores = self._detector(square[None] / np.float32(127.5) - 1).values()
            boxes, scores = boxes[0] / 128, scores[0, :, 0].astype(np.float64)
        scores = 1 / (1 + np.exp(-scores.clip(-80, 80)))
        found = np.flatnonzero(scores >= 0.5)
        boxes, scores = boxes[found].reshape(-1, 8, 2), scores[found]
        boxes[:, [0, *range(2, 8)]] += ANCHORS[found, None]  # row 1 is width and height
        boxes, scores = merge_overlapping(boxes, scores)
        boxes = boxes * side
        boxes[:, [0, *range(2, 8)]] += [(width - side) / 2, (height - side) / 2]
        centre, eyes = boxes[:, 0], boxes[:, 3] - boxes[:, 2]
        size, angle = 1.5 * boxes[:, 1].max(1), np.arctan2(eyes[:, 1], eyes[:, 0])
        return np.column_stack([centre, size, angle, scores])

    def landmarks(self, image: Pixels, region) -> tuple[Float[np.ndarray, "478 3"], float]:
        """The 478 points (x, y, z) of a region's face in pixels, and the score that it is one."""
        crop = crop_region(image, region, 256, edge=True)
        with self._lock:
            points, logit, _ = self._landmarks(crop[None] / np.float32(255)).values()
            points, logit = points.reshape(478, 3) / 256, float(logit.ravel()[0])
        x, y, size, angle = region[:4]
        points[:, :2] = (points[:, :2] - 0.5) @ rotation(angle).T
        return (points * size + [x, y, 0]).astype(np.float32), float(1 / (1 + np.exp(-logit)))

    def blendshapes(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "52"]:
        """The 52 blendshapes, in the order of `BLENDSHAPES`."""
        with self._lock:
            (out,) = self._blendshapes(landmarks[None, BLENDSHAPE_POINTS, :2]).values()
            return out.ravel().copy()

    def read_aligned(self, image: Pixels) -> tuple[np.ndarray, np.ndarray, float]:
        """Points and factors of an aligned face, and the score that it is one."""
        edge = len(image)
        points, score = self.landmarks(image, (edge / 2, edge / 2, edge, 0.0))
        pair = (torch.from_numpy(x)[None] for x in (points, self.blendshapes(points)))
        return points, read_factors(*pair)[0].numpy(), score

    def pose(self, landmarks, width: int, height: int) -> Float[np.ndarray, "3"]:
        """Yaw, pitch and roll in degrees: positive to the image's right, upwards and clockwise."""
        return angles(self._head.rotation(landmarks, width, height))


def region_of(landmarks: Float[np.ndarray, "478 3"]) -> tuple[float, float, float, float]:
    """The region to look for a face in whose points are known, from the frame before."""
    eyes = landmarks[263, :2] - landmarks[33, :2]
    angle = float(np.arctan2(eyes[1], eyes[0]))
    turned = landmarks[:, :2] @ rotation(angle)
    low, high = turned.min(0), turned.max(0)
    x, y = rotation(angle) @ ((low + high) / 2)
    return float(x), float(y), float(1.5 * (high - low).max()), angle


def crop_region(image, region, size: int, edge: bool = False) -> UInt8[np.ndarray, "size size 3"]:
    """A region as a square of `size` pixels, black or with its `edge` repeated outside the image.

    Sampled as MediaPipe does: linear between four pixels, and corner 0 shows pixel 0's middle.
    """
    x, y, side, angle = (float(v) for v in region[:4])
    turn = rotation(angle) * side / size
    reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) + 2
    limit = np.array(image.shape[1::-1])
    low = np.floor([x - reach, y - reach]).astype(int).clip(0, limit - 1)
    high = np.ceil([x + reach, y + reach]).astype(int).clip(low + 1, limit)
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    source = (np.mgrid[:size, :size][::-1] - size / 2).transpose(1, 2, 0) @ turn.T + ([x, y] - low)
    if (factor := int(side / size / 8)) > 1:  # of very large images, which would alias
        part = np.asarray(Pillow.fromarray(part).reduce(factor))
        source = (source + 0.5) / factor - 0.5
    part = torch.tensor(part).permute(2, 0, 1)[None].float()
    grid = source * 2 / np.maximum(np.array(part.shape[:1:-1]) - 1, 1) - 1
    grid = torch.from_numpy(grid.astype(np.float32))[None]
    outside = "border" if edge else "zeros"
    square = F.grid_sample(part, grid, padding_mode=outside, align_corners=True)
    return square[0].round().byte().permute(1, 2, 0).contiguous().numpy()


def rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def merge_overlapping(boxes, scores, limit: float = 0.3):
    """Boxes of one face (overlap above `limit`) become their mean, weighted by score."""
    out, best, order = [], [], np.argsort(-scores)
    while len(order):
        low, high = boxes[:, 0] - boxes[:, 1] / 2, boxes[:, 0] + boxes[:, 1] / 2
        first = order[0]
        common = np.minimum(high[order], high[first]) - np.maximum(low[order], low[first])
        common = common.clip(0).prod(1)
        union = boxes[order, 1].prod(1) + boxes[first, 1].prod() - common
        same = common / union > limit
        same[0] = True
        out.append(np.average(boxes[order[same]], axis=0, weights=scores[order[same]]))
        best.append(scores[first])
        order = order[~same]
    return np.array(out).reshape(-1, 8, 2), np.array(best)


def compiled(file: bytes) -> openvino.CompiledModel:
    """A network for a batch of one, in float32; a second thread would save a millisecond."""
    model = read_tflite(file)
    model.reshape([1, *[d.get_length() for d in list(model.inputs[0].partial_shape)[1:]]])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return openvino.Core().compile_model(model, "CPU", options)


def task_files() -> dict[str, bytes]:
    """Content of each file inside the bundle."""
    with zipfile.ZipFile(asset_path("face-landmarker")) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


class HeadModel:
    """A rigid head, turned and placed so that a camera of 63 degrees sees a face's points.

    Args:
        data: The bundle's protobuf: a mesh of 468 points, and how much each of 33 counts.
    """

    def __init__(self, data: bytes):
        floats = lambda bits: np.array(bits, np.uint32).view(np.float32).astype(float)
        fields = protobuf_fields(data)
        entries = [protobuf_fields(entry) for entry in fields[2]]
        vertices = floats(protobuf_fields(fields[1][0])[3]).reshape(-1, 5)
        self.index = np.array([entry[1][0] for entry in entries])
        self.points = vertices[self.index, :3]  # then comes a place in a texture
        self.weights = floats([entry[2] for entry in entries])

    def rotation(
        self, landmarks: Float[np.ndarray, "478 3"], width: int, height: int
    ) -> Float[np.ndarray, "3 3"]:
        """The head's rotation (x right, y up, z to the camera).

        A first fit under parallel rays gives the depth, a second one the size, a third the turn.
        """
        tall = 2 * np.tan(np.radians(63) / 2)  # of the image at distance 1
        seen = (landmarks[:468] - [width / 2, height / 2, 0]) * tall / height * [1, -1, 1]
        depth, seen = seen[:, 2].mean(), seen[self.index]
        scale = self._align(seen * [1, 1, -1])[1]
        for _ in range(2):
            z = (seen[:, 2:] - depth + 1) / scale
            turn, rest = self._align(np.hstack([seen[:, :2] * z, -z]))
            scale *= rest
        return turn

    def _align(self, target):
        """Rotation and scale that bring the head's points nearest to `target`."""
        mean = lambda x: (x * self.weights).sum(0) / self.weights.sum()
        own, target = self.points - mean(self.points), target - mean(target)
        u, _, v = np.linalg.svd((target * self.weights).T @ own)
        turn = u @ np.diag([1, 1, np.linalg.det(u) * np.linalg.det(v)]) @ v
        scale = (own @ turn.T * target * self.weights).sum() / (own**2 * self.weights).sum()
        return turn, scale


def angles(turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Yaw, pitch and roll in degrees: positive to the image's right, upwards and clockwise."""
    yaw, pitch = np.arctan2(turn[0, 2], turn[2, 2]), np.arcsin(turn[1, 2].clip(-1, 1))
    return np.degrees([yaw, pitch, np.arctan2(-turn[1, 0], turn[0, 0])])


def protobuf_fields(message: bytes) -> dict[int, list]:
    """Values of a message's fields by their numbers; of floats the bits, as integers."""
    fields = defaultdict(list)
    for field in UnknownFieldSet(Empty.FromString(message)):
        fields[field.field_number].append(field.data)
    return fields
