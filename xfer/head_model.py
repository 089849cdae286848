"""The rigid head model of Google's Face Landmarker: how a head is turned, from a face's points."""

import struct
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float


class HeadModel:
    """A rigid head, turned and placed so that a camera of 63 degrees sees a face's points."""

    def __init__(self, data: bytes):
        """
        Args:
            data: The bundle's protobuf: a mesh of 468 points, and how much each of 33 counts.
        """
        mesh, weights = b"", []
        for key, value in protobuf_fields(data):
            mesh = value if key == 1 else mesh
            if key == 2:
                weights.append(dict(protobuf_fields(value)))
        numbers = [value for key, value in protobuf_fields(mesh) if key == 3]
        points = np.array(numbers).reshape(-1, 5)[:, :3]  # x, y, z and a place in a texture
        self.index = np.array([entry[1] for entry in weights])
        self.points = points[self.index]
        self.weights = np.array([entry[2] for entry in weights])[:, None]

    def rotation(
        self, landmarks: Float[np.ndarray, "478 3"], width: int, height: int
    ) -> Float[np.ndarray, "3 3"]:
        """The head's rotation, 3 x 3 (x right, y up, z to the camera).

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

    def angles(self, rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
        """Yaw, pitch and roll in degrees: positive to the image's right, upwards and clockwise."""
        r = rotation
        yaw, pitch = np.arctan2(r[0, 2], r[2, 2]), np.arcsin(r[1, 2].clip(-1, 1))
        return np.degrees([yaw, pitch, np.arctan2(-r[1, 0], r[0, 0])])

    def _align(self, target):
        """Rotation and scale that bring the head's points nearest to `target`."""
        mean = lambda x: (x * self.weights).sum(0) / self.weights.sum()
        own, target = self.points - mean(self.points), target - mean(target)
        u, _, v = np.linalg.svd((target * self.weights).T @ own)
        turn = u @ np.diag([1, 1, np.linalg.det(u) * np.linalg.det(v)]) @ v
        scale = (own @ turn.T * target * self.weights).sum() / (own**2 * self.weights).sum()
        return turn, scale


def protobuf_fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Numbers and values of the fields of one protobuf message: integers, floats, and messages."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 5:
            yield key >> 3, struct.unpack_from("<f", data, position)[0]
            position += 4
        else:
            size = varint()
            yield key >> 3, data[position : position + size]
            position += size
