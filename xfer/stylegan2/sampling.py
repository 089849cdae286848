"""Random people from seeds: the same seed is the same person everywhere."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.errors import expect
from xfer.shapes import Image, Z
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


@torch.no_grad()
def interpolation_strip(
    generator: Generator,
    pairs: Sequence[tuple[int, int]],
    columns: int,
    space: Literal["w", "z"] = "w",
    psi: float = 1.0,
) -> Float[Tensor, "batch 3 height width"]:
    """Rows of pairs of people, columns of even steps from the first to the second, row by row.

    Args:
        pairs: Seeds of two people.
        columns: Pictures in a row, both people among them.
        space: Where the way is straight. In z it bends round the mean face, because the length of
            z does not matter to the mapping; in w it may pass close to it.
    """
    expect(columns >= 2, f"a way between two people has 2 pictures at least; got {columns}")
    expect(space in ("w", "z"), f"the way is straight in w or z; got '{space}'")
    first, second = (
        z_from_seeds(seeds, generator.z_dim).to(generator.const.device)
        for seeds in zip(*pairs, strict=True)
    )
    if space == "w":
        first, second = generator.mapping(first), generator.mapping(second)
    shares = torch.linspace(0, 1, columns, device=first.device)[:, None]
    ways = torch.lerp(first[:, None], second[:, None], shares).flatten(0, 1)
    w = ways if space == "w" else generator.mapping(ways)
    return generator.synthesis(generator.truncate(generator.to_w_plus(w), psi))
