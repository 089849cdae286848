"""Every figure of the project: tensors or tables in, a matplotlib Figure out.

The one place with colours and fonts. Figures are made without pyplot's global state, so that they
look and behave the same in a notebook, a test and a job without a screen.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as PlainFigure
from torch import Tensor

from xfer.errors import expect
from xfer.pixels import to_uint8
from xfer.runs import atomic

DRIVER, IDENTITY, RESULT, NEUTRAL = "#e8833a", "#3a76c4", "#2f8f5b", "#6b7280"
"""Who is who in every figure: driver orange, identity blue, result green."""

LINES = (RESULT, IDENTITY, DRIVER, NEUTRAL, "#8a5cc2", "#c2465c", "#1f9aa8", "#a08a1e")
"""Lines of one panel that are nobody in particular."""

SYNTHETIC = "synthetic pictures: no real person is shown"

STYLE = {"family": "DejaVu Sans", "size": 8}
DPI = 110


class Figure(PlainFigure):
    """A figure that notebooks show: without pyplot they would print its name only."""

    def _repr_png_(self) -> bytes:
        page = io.BytesIO()
        self.savefig(page, dpi=DPI, format="png", facecolor="white")
        return page.getvalue()


def tile(
    images: Float[Tensor, "batch 3 height width"], columns: int
) -> Float[Tensor, "3 rows_height columns_width"]:
    """Pictures side by side, row by row; missing places are white."""
    expect(columns >= 1, f"a sheet has at least one column; got {columns}")
    batch, _, height, width = images.shape
    rows = -(-batch // columns)
    sheet = images.new_ones(rows * columns, 3, height, width)
    sheet[:batch] = images
    sheet = sheet.view(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4)
    return sheet.reshape(3, rows * height, columns * width)


def picture_grid(
    images: Float[Tensor, "batch 3 height width"],
    columns: int,
    *,
    title: str = "",
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    labels: Sequence[str] = (),
    inches: float = 1.1,
    note: str = SYNTHETIC,
) -> Figure:
    """A grid of pictures with labels along its edges or under each picture.

    Args:
        labels: One under every picture; empty for none.
        inches: Edge of one picture.
        note: Small print at the foot, telling what is shown.
    """
    rows = -(-len(images) // columns)
    figure = Figure(
        figsize=(
            columns * inches + 0.6 * bool(row_labels),
            rows * inches * (1.16 if labels else 1) + 0.7,
        )
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    pixels = to_uint8(images)
    for number, place in enumerate(axes.flat):
        _bare(place)
        if number >= len(pixels):
            continue
        place.imshow(pixels[number], interpolation="nearest")
        if labels:
            place.set_xlabel(labels[number], fontsize=STYLE["size"] - 1, labelpad=2)
    for place, label in zip(axes[0], column_labels, strict=False):
        place.set_title(label.replace(", ", ",\n"), fontsize=STYLE["size"], pad=3)
    for place, label in zip(axes[:, 0], row_labels, strict=False):
        place.set_ylabel(label, fontsize=STYLE["size"])
    _finish(figure, title, note)
    return figure


def curves(
    records: Sequence[dict[str, Any]],
    names: Sequence[str],
    *,
    x: str = "kimg",
    x_label: str = "training pictures, thousands",
    title: str = "",
) -> Figure:
    """One panel a quantity, over the course of a run (lines of stats.jsonl)."""
    figure = Figure(figsize=(3.0 * len(names), 2.4))
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for place, name in zip(axes, names, strict=True):
        known = [record for record in records if name in record]
        place.plot([r[x] for r in known], [r[name] for r in known], color=IDENTITY, linewidth=1.2)
        place.set_xlabel(x_label, fontsize=STYLE["size"])
        place.set_title(name.replace("_", " "), fontsize=STYLE["size"] + 1)
        place.tick_params(labelsize=STYLE["size"] - 1)
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
    _finish(figure, title, "")
    return figure


def bars(values: Mapping[str, int | float], *, x_label: str, title: str = "") -> Figure:
    """One horizontal bar a name, with its number at the end."""
    figure = Figure(figsize=(6.4, 0.7 + 0.3 * max(len(values), 1)))
    place = figure.subplots()
    drawn = place.barh(list(values), list(values.values()), color=IDENTITY, height=0.6)
    place.bar_label(drawn, fmt="%g", fontsize=STYLE["size"], padding=3)
    place.invert_yaxis()
    place.margins(x=0.12)
    place.set_xlabel(x_label, fontsize=STYLE["size"])
    place.tick_params(labelsize=STYLE["size"])
    place.spines[["top", "right"]].set_visible(False)
    _finish(figure, title, "")
    return figure


def intervals(
    rows: Mapping[str, Mapping[str, tuple[float, float, float]]], *, title: str = ""
) -> Figure:
    """One panel a quantity, one line a name: its value and its interval.

    Args:
        rows: By quantity and name: value, low, high.
    """
    lines = max(len(names) for names in rows.values())
    figure = Figure(figsize=(1.6 + 2.2 * len(rows), 0.8 + 0.24 * lines))
    axes = figure.subplots(1, len(rows), squeeze=False, sharey=True)[0]
    for place, (quantity, names) in zip(axes, rows.items(), strict=True):
        for name, (value, low, high) in names.items():
            colour = RESULT if name == next(iter(names)) else NEUTRAL
            place.plot([low, high], [name, name], color=colour, linewidth=1.4)
            place.plot([value], [name], "o", color=colour, markersize=3.5)
        place.set_xlabel(quantity, fontsize=STYLE["size"])
        place.tick_params(labelsize=STYLE["size"] - 1)
        place.grid(axis="x", alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    _finish(figure, title, "")
    return figure


def heatmap(
    table: Mapping[str, Mapping[str, float]],
    *,
    x_label: str = "",
    title: str = "",
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Figure:
    """Numbers as colours and digits: rows by name, columns by name."""
    columns = list(next(iter(table.values())))
    values = [[row[name] for name in columns] for row in table.values()]
    figure = Figure(figsize=(1.6 + 0.56 * len(columns), 0.9 + 0.24 * len(table)))
    place = figure.subplots()
    place.imshow(values, cmap="Blues", vmin=lowest, vmax=highest, aspect="auto")
    small = {"fontsize": STYLE["size"] - 1.5, "ha": "center", "va": "center"}
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            dark = (value - lowest) / (highest - lowest) > 0.6
            place.text(j, i, f"{value:.2f}", color="white" if dark else "black", **small)
    labels = {"fontsize": STYLE["size"] - 1}
    place.set_xticks(range(len(columns)), columns, **labels)
    if max(map(len, columns)) > 6:
        place.tick_params(axis="x", rotation=30)
    place.set_yticks(range(len(table)), list(table), **labels)
    place.set_xlabel(x_label, fontsize=STYLE["size"])
    place.spines[:].set_visible(False)
    place.tick_params(length=0)
    _finish(figure, title, "")
    return figure


def bands(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float, float, float]]]],
    *,
    x_label: str,
    title: str = "",
) -> Figure:
    """One panel a quantity, one line a name with its interval as a band.

    Args:
        panels: By quantity and name: points of x, value, low, high.
    """
    figure = Figure(figsize=(3.1 * len(panels) + 1.2, 2.6))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (quantity, lines) in zip(axes, panels.items(), strict=True):
        for number, (name, points) in enumerate(lines.items()):
            x, value, low, high = zip(*sorted(points), strict=True)
            colour = LINES[number % len(LINES)]
            place.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            place.plot(x, value, ".-", color=colour, linewidth=1.2, markersize=3, label=name)
        place.set_title(quantity, fontsize=STYLE["size"] + 1)
        place.set_xlabel(x_label, fontsize=STYLE["size"])
        place.tick_params(labelsize=STYLE["size"] - 1)
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(
        fontsize=STYLE["size"] - 1, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    _finish(figure, title, "")
    return figure


def agreement(
    pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_label: str, y_label: str
) -> Figure:
    """One panel a name: what was read against what is true, on one scale, with the diagonal."""
    figure = Figure(figsize=(2.5 * len(pairs), 2.7))
    for place, (name, (x, y)) in zip(
        figure.subplots(1, len(pairs), squeeze=False)[0], pairs.items(), strict=True
    ):
        ends = [min(*x, *y), max(*x, *y)]
        place.plot(ends, ends, color=NEUTRAL, linewidth=0.8)
        place.plot(x, y, ".", color=RESULT, markersize=3, alpha=0.6)
        place.set_title(name, fontsize=STYLE["size"])
        place.set_xlabel(x_label, fontsize=STYLE["size"])
        place.set_ylabel(y_label, fontsize=STYLE["size"])
        place.tick_params(labelsize=STYLE["size"] - 1)
    _finish(figure, "", "")
    return figure


def histograms(
    columns: Mapping[str, Sequence[float]],
    *,
    y_label: str,
    title: str = "",
    beside: Mapping[str, Sequence[float]] | None = None,
    labels: tuple[str, str] = ("", ""),
) -> Figure:
    """One panel a quantity; the name is the label of its axis, unit included.

    Args:
        beside: Other values of the same quantities, drawn as a line in the same bins.
        labels: What the values and those beside them are.
    """
    figure = Figure(figsize=(2.6 * len(columns), 2.2))
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for place, (name, values) in zip(axes, columns.items(), strict=True):
        both = [values, beside[name]] if beside else [values]
        edges = np.histogram_bin_edges(np.concatenate(both), bins=20)
        place.hist(values, bins=edges, color=IDENTITY, label=labels[0])
        if beside:
            place.hist(both[1], bins=edges, color=DRIVER, histtype="step", lw=1.5, label=labels[1])
        place.set_xlabel(name, fontsize=STYLE["size"])
        place.tick_params(labelsize=STYLE["size"] - 1)
        place.spines[["top", "right"]].set_visible(False)
    if beside:
        axes[0].legend(fontsize=STYLE["size"] - 1, frameon=False)
    axes[0].set_ylabel(y_label, fontsize=STYLE["size"])
    _finish(figure, title, "")
    return figure


def maps(
    values: Mapping[str, Float[Tensor, "height width"]], *, unit: str, title: str = ""
) -> Figure:
    """How much of a quantity lies where in a picture: one panel a name, one scale from 0 for all.

    Args:
        unit: What the scale counts.
    """
    figure = Figure(figsize=(1.5 * len(values) + 1.0, 1.5 + 0.6))
    axes = figure.subplots(1, len(values), squeeze=False)[0]
    most = max(float(value.max()) for value in values.values())
    for place, (name, value) in zip(axes, values.items(), strict=True):
        _bare(place)
        drawn = place.imshow(value.numpy(), cmap="magma", vmin=0, vmax=most)
        place.set_title(name, fontsize=STYLE["size"], pad=3)
    _finish(figure, title, "")
    figure.subplots_adjust(right=1 - 0.7 / figure.get_figwidth())
    last = axes[-1].get_position()
    beside = figure.add_axes((last.x1 + 0.1 / figure.get_figwidth(), last.y0, 0.012, last.height))
    figure.colorbar(drawn, cax=beside).set_label(unit, fontsize=STYLE["size"] - 1)
    beside.tick_params(labelsize=STYLE["size"] - 1)
    return figure


def crops_on_pictures(
    pictures: Sequence[Float[Tensor, "1 3 _ _"]],
    corners: Float[Tensor, "batch 4 2"],
    points: Float[Tensor, "batch 68 2"],
    *,
    title: str = "",
    note: str = SYNTHETIC,
) -> Figure:
    """Whole pictures with the outline of their crop and their landmarks, in pixels."""
    figure = Figure(figsize=(2.2 * len(pictures), 2.6))
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for place, picture, outline, marks in zip(axes, pictures, corners, points, strict=True):
        _bare(place)
        place.imshow(to_uint8(picture)[0])
        height, width = picture.shape[2:]
        place.set_xlim(-0.5, width - 0.5)
        place.set_ylim(height - 0.5, -0.5)
        closed = torch.cat([outline, outline[:1]])
        place.plot(closed[:, 0], closed[:, 1], color=DRIVER, linewidth=1.5)
        place.plot(marks[:, 0], marks[:, 1], ".", color="white", markersize=2)
    _finish(figure, title, note)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = DPI) -> Path:
    """Write a figure as PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png", facecolor="white")
    return Path(path)


def _bare(place: Axes) -> None:
    place.set_xticks([])
    place.set_yticks([])
    for spine in place.spines.values():
        spine.set_visible(False)


def _finish(figure: Figure, title: str, note: str) -> None:
    """Title above, small print below, panels in the space between."""
    inch = 1 / figure.get_figheight()
    if title:
        figure.suptitle(title, y=1 - 0.06 * inch, va="top", fontsize=STYLE["size"] + 2)
    if note:
        small = {"fontsize": STYLE["size"] - 2, "color": NEUTRAL}
        figure.text(0.5, 0.03 * inch, note, ha="center", va="bottom", **small)
    bottom = 0.16 * inch if note else 0
    figure.tight_layout(pad=0.5, h_pad=0.4, w_pad=0.2, rect=(0, bottom, 1, 1))
