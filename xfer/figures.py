"""Figures in one style: images in a grid and curves with their intervals.

Drivers are orange and identities blue everywhere. Figures are made without pyplot, so that they
look and behave the same in a notebook, a test and a job without a screen.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure as PlainFigure

from xfer.media.images import Source, to_array, xmp_packet
from xfer.runs import atomic

DRIVER, IDENTITY = "#e8833a", "#3a76c4"
PALETTE = ("#2f8f5b", "#8a5cc2", "#c2465c", "#1f9aa8", "#a08a1e", "#6b7280")
"""Colours of what is neither driver nor identity."""
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "savefig.dpi": 110,
}

Numbers = Sequence[float] | np.ndarray


class Figure(PlainFigure):
    """A figure that notebooks show by itself and that says in its file that it is synthetic."""

    def save(self, path: str | Path) -> Path:
        """Write a PNG, whole or not at all."""
        with atomic(path) as temporary:
            temporary.write_bytes(self._repr_png_())
        return Path(path)

    @matplotlib.rc_context(STYLE)
    def _repr_png_(self) -> bytes:
        page = io.BytesIO()
        packet = xmp_packet(Source.GENERATED).decode()
        self.savefig(page, format="png", metadata={"XML:com.adobe.xmp": packet})
        return page.getvalue()


@matplotlib.rc_context(STYLE)
def image_grid(
    images: torch.Tensor | Sequence[np.ndarray],
    titles: Sequence[str] = (),
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    n_columns: int | None = None,
    inches: float = 1.3,
    title: str = "",
) -> Figure:
    """Images row by row, with labels above columns, beside rows or under each image.

    Args:
        images: A batch in [-1, 1], "n 3 height width", or arrays of bytes, "height width 3".
        titles: One under every image.
        n_columns: As many as there are column labels by default, else up to eight.
        inches: Edge of one image.
    """
    arrays = list(to_array(images)) if isinstance(images, torch.Tensor) else list(images)
    wide = n_columns or len(columns) or (-(-len(arrays) // len(rows)) if rows else 0)
    wide = wide or min(len(arrays), 8) or 1
    high = max(1, -(-len(arrays) // wide))
    figure, axes = _figure(high, wide, inches, inches * (1.15 if titles else 1), title)
    for place in axes.flat:
        place.set(xticks=[], yticks=[])
        place.grid(False)
        place.spines[:].set_visible(False)
    for place, array in zip(axes.flat, arrays, strict=False):
        place.imshow(array, interpolation="antialiased")
    for place, label in zip(axes.flat, titles, strict=False):
        place.set_xlabel(label, labelpad=2)
    for place, label in zip(axes[0], columns, strict=False):
        place.set_title(label)
    for place, label in zip(axes[:, 0], rows, strict=False):
        place.set_ylabel(label)
    return figure


@matplotlib.rc_context(STYLE)
def curves(
    panels: Mapping[str, Mapping[str, Sequence[Numbers]]], x_label: str, title: str = ""
) -> Figure:
    """One panel a quantity, one line a name.

    Args:
        panels: By quantity (with its unit) and name: x, y and, where there is an interval, its
            low and high ends.
    """
    figure, axes = _figure(1, len(panels), 3.2, 2.5, title)
    for place, (quantity, lines) in zip(axes[0], panels.items(), strict=True):
        for colour, (name, (x, y, *interval)) in zip(_colours(lines), lines.items(), strict=True):
            place.plot(x, y, color=colour, label=name)
            if interval:
                place.fill_between(x, *interval, color=colour, alpha=0.2, linewidth=0)
        place.set(xlabel=x_label, ylabel=quantity)
        if len(lines) > 1:
            place.legend()
    return figure


def _figure(
    high: int, wide: int, width: float, height: float, title: str
) -> tuple[Figure, np.ndarray]:
    """An empty figure with its grid of axes."""
    figure = Figure(figsize=(wide * width + 0.3, high * height + 0.3 + 0.3 * bool(title)))
    if title:
        figure.suptitle(title)
    return figure, figure.subplots(high, wide, squeeze=False)


def _colours(names: Iterable[str]) -> list[str]:
    """Orange for drivers, blue for identities, the others in order; a single one is blue."""
    names, rest = [name.lower() for name in names], cycle(PALETTE)
    is_identity = lambda name: "identity" in name or len(names) == 1
    return [
        DRIVER if "driver" in name else IDENTITY if is_identity(name) else next(rest)
        for name in names
    ]
