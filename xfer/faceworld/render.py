"""Render people: factors in, pictures and their whole truth out."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from xfer.axes import Image
from xfer.crop import Crop, ffhq_crop, picture_to_crop
from xfer.errors import expect
from xfer.faceworld.appearance import background
from xfer.faceworld.camera import (
    View,
    build_view,
    pixel_grid,
    project,
    rays_through,
    whole_picture,
)
from xfer.faceworld.factors import Factors, Group
from xfer.faceworld.geometry import Part
from xfer.faceworld.kernels import FAR, PLAIN, Kernels, kernels
from xfer.faceworld.landmarks import landmarks_3d
from xfer.faceworld.look import Look, build_look, pack_look
from xfer.faceworld.march import Rays, find_surface, gather_active, largest_beside, refine
from xfer.faceworld.measures import Rig, pack
from xfer.faceworld.rig import build_rig
from xfer.faceworld.threads import in_threads

EDGE = 0.10
"""Contrast with the neighbours from which a pixel gets four samples instead of one."""


@dataclass(frozen=True)
class Rendering:
    """Pictures with everything that is true of them."""

    picture: Image
    factors: Factors
    landmarks: Float[Tensor, "batch 68 2"]
    """Pixels (x right, y down) of the whole picture, aligned or not."""
    landmarks_in_crop: Float[Tensor, "batch 68 2"]
    """The same in the FFHQ crop, whose edges are -1 and 1."""
    crop: Crop
    """The FFHQ crop of `landmarks`, in pixels of the whole picture."""
    parts: UInt8[Tensor, "batch height width"]
    """Which `Part` each pixel of `picture` shows."""

    def mask(self, *parts: Part) -> Bool[Tensor, "batch height width"]:
        return torch.stack([self.parts == part for part in parts]).any(0)

    @property
    def face(self) -> Bool[Tensor, "batch height width"]:
        """Skin of the head, eyes and glasses."""
        return self.mask(Part.FACE, Part.EYES, Part.GLASSES)

    @property
    def hair(self) -> Bool[Tensor, "batch height width"]:
        return self.mask(Part.HAIR)

    @property
    def background(self) -> Bool[Tensor, "batch height width"]:
        return self.mask(Part.BACKGROUND)


@torch.no_grad()
def render(
    identity: Group,
    motion: Group,
    scene: Group,
    size: int,
    aligned: bool = False,
    compiled: bool = False,
) -> Rendering:
    """Pictures of these people, moving like this, in these scenes: row by row.

    The truth of a transfer is `render(identity_of_b, motion_of_a, scene_of_b, size)`: any rows
    combine. The device is that of the factors.

    Args:
        size: Pixels along an edge; a multiple of 4, at least 16.
        aligned: Render straight through the FFHQ crop of the true landmarks instead of the
            whole picture. The head's roll is then taken out, as it is in every aligned picture.
        compiled: Build the inner loops with the machine's C++ compiler at the first call (about
            half a minute; kept for later runs); without, they run as calls of NumPy, prepared in
            some seconds and kept as well. On a GPU the functions run as they are.
    """
    expect(size % 4 == 0 and size >= 16, f"size is a multiple of 4, at least 16; got {size}")
    expect(
        len(identity) == len(motion) == len(scene) > 0,
        "identity, motion and scene need the same number of rows, at least one; "
        f"got {len(identity)}, {len(motion)}, {len(scene)}",
    )
    on_cpu = identity.values.device.type == "cpu"
    functions = kernels(compiled) if on_cpu else PLAIN
    groups = (identity, motion, scene)
    parts = in_threads(
        lambda rows: _render(functions, *(group.index(rows) for group in groups), size, aligned),
        len(identity),
        torch.get_num_threads() if on_cpu else 1,
    )
    picture, masks, landmarks = (torch.cat(column) for column in zip(*parts, strict=True))
    crop = ffhq_crop(landmarks)
    return Rendering(
        picture=picture,
        factors=Factors(identity, motion, scene),
        landmarks=landmarks,
        landmarks_in_crop=picture_to_crop(crop, landmarks),
        crop=crop,
        parts=masks,
    )


def _render(
    functions: Kernels, identity: Group, motion: Group, scene: Group, size: int, aligned: bool
) -> tuple[Image, UInt8[Tensor, "batch _ _"], Float[Tensor, "batch 68 2"]]:
    """Pictures, parts and landmarks of some rows."""
    rig, look, view = build_rig(identity, motion), build_look(identity, scene), build_view(scene)
    landmarks = project(view, landmarks_3d(rig, functions), size)
    frame = ffhq_crop(landmarks) if aligned else whole_picture(len(identity), size, landmarks)
    picture, parts = _Painter(functions, rig, look, view, frame, size).paint()
    return picture, parts, landmarks


class _Painter:
    """One batch being rendered: the kernels, and what is in front of the camera."""

    def __init__(self, kernels: Kernels, rig: Rig, look: Look, view: View, frame: Crop, size: int):
        self.kernels, self.rig = kernels, pack(rig)
        self.look, self.packed_look = look, pack_look(look)
        self.view, self.frame, self.size = view, frame, size
        self.pixel = frame.side[:, None] / size * 2 * view.half / size  # in head units

    def paint(self) -> tuple[Tensor, Tensor]:
        """Pictures in [-1, 1] and their parts."""
        batch, size = len(self.view.x), self.size
        rays, t, hit = find_surface(self.kernels, self.rig, self.view, self.frame, size, size)
        x, y = pixel_grid(self.frame, size, size).unbind(2)
        color, part = self._over(background(self.look, x, y), rays, t, hit, self.pixel)
        depth = torch.where(hit, t, FAR)
        edge = _edges(color, depth, part, size)
        color = self._supersample(color, depth, x, y, gather_active(edge), edge)
        picture = color.transpose(0, 1).reshape(batch, 3, size, size).clamp(0, 1) ** (1 / 2.2)
        return picture * 2 - 1, part.view(batch, size, size).to(torch.uint8)

    def _over(
        self, behind: Tensor, rays: Rays, t: Tensor, hit: Tensor, pixel: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Colours and parts with the rays that hit shaded over the background."""
        index = gather_active(hit)
        if index.shape[1] == 0:
            return behind, torch.zeros_like(t)
        color, part = self._shade(rays.take(index), t.gather(1, index), pixel)
        hit = hit.gather(1, index)
        in_three = index.expand(3, -1, -1)
        color = torch.where(hit, color, behind.gather(2, in_three))
        part = torch.zeros_like(t).scatter(1, index, torch.where(hit, part, 0.0))
        return behind.scatter(2, in_three, color), part

    def _shade(self, rays: Rays, t: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        step, at = (0.5 * pixel).clamp(0.006, 0.014)[None], rays.at(t)
        *normal, open_sky, lit = self.kernels.feel(self.rig, self.packed_look, step, *at)
        return self.kernels.shade(
            self.rig, self.packed_look, *at, *normal, *rays.direction, open_sky, lit
        )

    def _supersample(
        self, color: Tensor, depth: Tensor, x: Tensor, y: Tensor, index: Tensor, edge: Tensor
    ) -> Tensor:
        """Edge pixels again, as the mean of four samples."""
        if index.shape[1] == 0:
            return color
        size, in_three = self.size, index.expand(3, -1, -1)
        nearest = -largest_beside(-depth.view(-1, size, size)).flatten(1)
        start = nearest.gather(1, index) - 0.05
        start = torch.where(start > FAR - 0.1, 9e9, start).repeat(1, 4)
        x, y = x.gather(1, index), y.gather(1, index)
        quarter = 0.25 / size / size  # a quarter of a crop's pixel, in whole pictures
        right, down = self.frame.half * 2 * quarter, self.frame.down * 2 * quarter
        shifts = [(a * right + b * down) for b in (-1, 1) for a in (-1, 1)]
        x = torch.cat([x + s[:, :1] for s in shifts], 1)
        y = torch.cat([y + s[:, 1:] for s in shifts], 1)
        rays = Rays(self.view, rays_through(self.view, x, y))
        t, hit = refine(self.kernels, self.rig, rays, start)
        behind = background(self.look, x, y)
        samples, _ = self._over(behind, rays, t, hit, 0.5 * self.pixel)
        mean = samples.unflatten(2, (4, -1)).mean(2)
        mean = torch.where(edge.gather(1, index), mean, color.gather(2, in_three))
        return color.scatter(2, in_three, mean)


def _edges(color: Tensor, depth: Tensor, part: Tensor, size: int) -> Bool[Tensor, "batch n"]:
    """Pixels beside which brightness, depth or part jumps."""

    def contrast(values: Tensor) -> Tensor:
        grid = values.view(-1, size, size)
        return (largest_beside(grid) + largest_beside(-grid)).flatten(1)

    jump = 0.5 * (contrast(depth) > 0.08) + 0.3 * (contrast(part) > 0)
    return contrast(color.mean(0).sqrt()) + jump > EDGE
