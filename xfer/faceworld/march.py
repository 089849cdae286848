"""Finding the surface along rays: cone marching from coarse to fine, then sphere tracing.

A ray stops being moved once it has converged, and rays still moving are gathered into a smaller
batch. So what happens to a ray does not depend on the rays or pictures beside it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xfer.crop import Crop
from xfer.faceworld.camera import CAMERA_Z, View, pixel_grid, rays_through
from xfer.faceworld.fields import Points
from xfer.faceworld.kernels import FAR, Kernels

NEAR = CAMERA_Z - 1.7
"""Distance from the camera before which nothing lies."""
ROUNDS = (4, 4, 6, 10, 14, 24)
FIRST_CONES, NEXT_CONES = (3, 3, 4, 4, 8), (4, 3)
"""Steps between two gatherings of the rays, or cones, that still move."""

PerRay = Float[Tensor, "batch n"]
Packed = Float[Tensor, "measures batch 1"]


class Rays(NamedTuple):
    """Rays from the camera, one direction per pixel."""

    view: View
    direction: Points

    def at(self, t: PerRay) -> Points:
        x, y, z = self.direction
        return Points(self.view.x + x * t, self.view.y + y * t, CAMERA_Z + z * t)

    def take(self, index: Int[Tensor, "batch k"]) -> "Rays":
        return Rays(self.view, Points(*(c.gather(1, index) for c in self.direction)))


def gather_active(active: Bool[Tensor, "batch n"]) -> Int[Tensor, "batch k"]:
    """Columns of the active entries of each row, in order; shorter rows are filled with 0."""
    rank = active.cumsum(1)
    most = int(rank[:, -1].max())
    slot = torch.where(active, rank - 1, most)
    columns = torch.arange(active.shape[1], device=active.device).expand_as(slot)
    return slot.new_zeros(len(active), most + 1).scatter_(1, slot, columns)[:, :most]


def find_surface(
    kernels: Kernels, rig: Packed, view: View, crop: Crop, size: int, cells: int
) -> tuple[Rays, PerRay, Bool[Tensor, "batch n"]]:
    """Rays through every pixel of a crop, how far each runs, and whether it hit something.

    Args:
        size: The whole picture's size, in whose pixels `crop` is given.
        cells: Pixels along an edge of the crop.
    """
    t = None
    for level in [m for m in (cells // 4, cells // 2) if m >= 24]:
        rays, start = _rays(view, crop, size, level), _start(t, level, view)
        cone = _cone(view, crop, size, level)
        t, _ = _march(kernels, rig, rays, start, cone, FIRST_CONES if t is None else NEXT_CONES)
    rays = _rays(view, crop, size, cells)
    start = _start(t, cells, view)
    index = gather_active(start < FAR)
    found, hit = refine(kernels, rig, rays.take(index), start.gather(1, index))
    t = start.scatter(1, index, found)
    return rays, t, torch.zeros_like(t, dtype=torch.bool).scatter(1, index, hit)


def _rays(view: View, crop: Crop, size: int, cells: int) -> Rays:
    x, y = pixel_grid(crop, size, cells).unbind(2)
    return Rays(view, rays_through(view, x, y))


def _cone(view: View, crop: Crop, size: int, cells: int) -> Float[Tensor, "batch 1"]:
    """Radius of a pixel's cone at distance 1."""
    pixel = crop.side[:, None] / size * 2 * view.half / cells
    return 1.1 * pixel / CAMERA_Z


def _start(
    t: Float[Tensor, "batch coarse"] | None, cells: int, view: View
) -> Float[Tensor, "batch fine"]:
    """Where rays may start: the nearest end among the coarser cones around each."""
    if t is None:
        return torch.full((len(view.x), cells * cells), NEAR, device=view.x.device)
    coarse = int(t.shape[1] ** 0.5)
    nearest = -largest_beside(-t.view(len(t), coarse, coarse))
    times = cells // coarse
    return nearest.repeat_interleave(times, 1).repeat_interleave(times, 2).reshape(len(t), -1)


def largest_beside(
    grid: Float[Tensor, "batch rows columns"],
) -> Float[Tensor, "batch rows columns"]:
    """Maximum over each place and its eight neighbours (four times as fast as max_pool2d)."""
    tall = grid.clone()
    torch.maximum(tall[:, 1:], grid[:, :-1], out=tall[:, 1:])
    torch.maximum(tall[:, :-1], grid[:, 1:], out=tall[:, :-1])
    wide = tall.clone()
    torch.maximum(wide[:, :, 1:], tall[:, :, :-1], out=wide[:, :, 1:])
    torch.maximum(wide[:, :, :-1], tall[:, :, 1:], out=wide[:, :, :-1])
    return wide


def refine(
    kernels: Kernels, rig: Packed, rays: Rays, start: PerRay
) -> tuple[PerRay, Bool[Tensor, "batch n"]]:
    """Sphere tracing from `start` to the surface, and whether it was met."""
    t, d = _march(kernels, rig, rays, start, torch.zeros_like(rays.view.x), ROUNDS)
    return t, (d < 0.02) & (t < FAR)


def _march(
    kernels: Kernels,
    rig: Packed,
    rays: Rays,
    start: PerRay,
    cone: Float[Tensor, "batch 1"],
    rounds: tuple[int, ...],
) -> tuple[PerRay, PerRay]:
    """Move each ray, or cone, until the surface may be inside it; the field where it was last."""
    t, d = start, torch.full_like(start, 9.0)
    lens, moves = torch.stack([rays.view.x, rays.view.y, cone]), start < FAR
    for steps in rounds:
        index = gather_active(moves)
        if index.shape[1] == 0:
            break
        few, some_t = rays.take(index), t.gather(1, index)
        for _ in range(steps):
            before = some_t
            some_t, some_d = kernels.step(rig, lens, *few.direction, before)
        t, d = t.scatter(1, index, some_t), d.scatter(1, index, some_d)
        going = (some_t != before) & (some_t < FAR)
        moves = torch.zeros_like(moves).scatter(1, index, going) & moves
    return t, d
