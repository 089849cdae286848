"""Random people from seeds: the same seed is the same person everywhere."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image, Z
from xfer.errors import expect
from xfer.stylegan2.generator import Generator


def z_from_seeds(seeds: Sequence[int], z_dim: int) -> Z:
    """One standard normal row per seed, drawn on the CPU and so equal on every machine."""
    expect(len(seeds) > 0, "at least one seed is needed; got none")
    rows = [torch.randn(z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)


@torch.no_grad()
def draw(
    generator: Generator,
    seeds: Sequence[int],
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: str = "stored",
    batch: int = 16,
) -> Image:
    """Pictures of seeds, `batch` at a time."""
    z = z_from_seeds(seeds, generator.z_dim).to(generator.const.device)
    parts = [generator(part, psi, cutoff, noise) for part in z.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def truncation_strip(
    generator: Generator, seeds: Sequence[int], psis: Sequence[float]
) -> Float[Tensor, "batch 3 height width"]:
    """Rows of people, columns of psi: `len(seeds) * len(psis)` pictures, row by row."""
    columns = [draw(generator, seeds, psi) for psi in psis]
    return torch.stack(columns, dim=1).flatten(0, 1)
