"""Sheets that show what a generator draws: random people, and the same people at every psi."""

from collections.abc import Sequence
from pathlib import Path

from xfer.figures import picture_grid, save_figure
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw, truncation_strip

PSIS = (0.0, 0.25, 0.5, 0.75, 1.0)


def sample_sheet(
    generator: Generator, seeds: Sequence[int], psi: float, path: str | Path, title: str
) -> Path:
    """One picture a seed, labelled with it."""
    labels = [f"seed {seed}" for seed in seeds]
    images = draw(generator, seeds, psi)
    figure = picture_grid(images, 8, title=f"{title}, psi {psi:g}", labels=labels)
    return save_figure(figure, path)


def truncation_sheet(
    generator: Generator, seeds: Sequence[int], path: str | Path, title: str
) -> Path:
    """A row a seed: from the mean face (psi 0) to the untruncated person (psi 1)."""
    figure = picture_grid(
        truncation_strip(generator, seeds, PSIS),
        len(PSIS),
        title=title,
        column_labels=[f"psi {psi:g}" for psi in PSIS],
        row_labels=[f"seed {seed}" for seed in seeds],
    )
    return save_figure(figure, path)
