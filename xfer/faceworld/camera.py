"""The camera: from the scene's points to pixels, and from pixels of any crop to rays."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.crop import Crop, crop_to_picture
from xfer.faceworld.factors import Group
from xfer.faceworld.fields import Points

CAMERA_Z = 6.0
PLANE_Z = 0.2
"""The picture's plane: what lies in it keeps its size."""
HALF_PICTURE = 1.30
"""Half the height of the picture in the plane, in head units, without zoom."""


class View(NamedTuple):
    """Where the camera looks; it keeps looking straight ahead, so a shift moves it sideways."""

    x: Float[Tensor, "batch 1"]
    y: Float[Tensor, "batch 1"]
    half: Float[Tensor, "batch 1"]
    """Half the height of the picture in the plane."""


def build_view(scene: Group) -> View:
    return View(
        x=0.10 * scene["shift_x"][:, None],
        y=-0.06 + 0.08 * scene["shift_y"][:, None],
        half=HALF_PICTURE * (1 - 0.10 * scene["zoom"][:, None]),
    )


def project(view: View, p: Points, size: int) -> Float[Tensor, "batch n 2"]:
    """Pixels (x right, y down) of world points in a picture of `size` x `size`."""
    scale = (CAMERA_Z - PLANE_Z) / (CAMERA_Z - p.z) / view.half
    u, v = (p.x - view.x) * scale, (view.y - p.y) * scale
    return (torch.stack([u, v], 2) + 1) * (0.5 * size)


def whole_picture(batch: int, size: int, like: Tensor) -> Crop:
    """The crop that is the whole picture."""
    middle = torch.full((batch, 2), 0.5 * size, device=like.device)
    half = middle * torch.tensor([1.0, 0.0], device=like.device)
    return Crop(middle, half)


def pixel_grid(crop: Crop, size: int, cells: int) -> Float[Tensor, "batch cells_squared 2"]:
    """Positions of the middles of `cells` x `cells` pixels of a crop, in pictures [0, 1]."""
    steps = (torch.arange(cells, device=crop.center.device) + 0.5) * (2.0 / cells) - 1
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([u.reshape(-1), v.reshape(-1)], 1).expand(len(crop.center), -1, 2)
    return crop_to_picture(crop, points) / size


def rays_through(view: View, x: Tensor, y: Tensor) -> Points:
    """Unit directions from the camera through picture positions in [0, 1] (x right, y down)."""
    dx, dy = (2 * x - 1) * view.half, (1 - 2 * y) * view.half
    dz = PLANE_Z - CAMERA_Z
    scale = (dx * dx + dy * dy + dz * dz).rsqrt()
    return Points(dx * scale, dy * scale, dz * scale)
