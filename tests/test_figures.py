"""Figures show what they are given, labelled, without a screen."""

import numpy as np
import torch
from PIL import Image

from xfer.figures import (
    SYNTHETIC,
    bands,
    bars,
    crops_on_pictures,
    curves,
    heatmap,
    histograms,
    maps,
    picture_grid,
    save_figure,
    tile,
    to_uint8,
)


def test_black_and_white_become_the_ends_of_a_byte_and_more_is_clipped():
    images = torch.tensor([-1.0, 0.0, 1.0, 3.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert to_uint8(images)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


def test_tiles_run_row_by_row_and_missing_ones_are_white():
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 2, 2) / 4
    sheet = tile(images, 2)
    assert sheet.shape == (3, 4, 4)
    assert sheet[0, 0].tolist() == [0.0, 0.0, 0.25, 0.25]
    assert sheet[0, 2].tolist() == [0.5, 0.5, 1.0, 1.0]


def test_a_grid_carries_its_labels_and_says_that_it_is_synthetic(tmp_path):
    figure = picture_grid(
        torch.zeros(4, 3, 8, 8), 2, title="people", column_labels=["a", "b"], row_labels=["1", "2"]
    )
    texts = [text.get_text() for text in figure.texts]
    assert SYNTHETIC in texts
    assert [place.get_title() for place in figure.axes[:2]] == ["a", "b"]
    path = save_figure(figure, tmp_path / "grid.png")
    assert np.asarray(Image.open(path)).std() > 0


def test_curves_have_one_panel_a_quantity_with_its_values():
    figure = curves([{"kimg": 1, "loss": 2.0}, {"kimg": 2, "loss": 1.0}, {"kimg": 3}], ["loss"])
    (line,) = figure.axes[0].get_lines()
    assert line.get_ydata().tolist() == [2.0, 1.0]


def test_bars_carry_their_numbers():
    figure = bars({"good": 7, "bad": 2.5}, x_label="inputs")
    assert {text.get_text() for text in figure.axes[0].texts} == {"7", "2.5"}
    assert figure.axes[0].get_xlabel() == "inputs"


def test_histograms_hold_all_values():
    figure = histograms({"yaw, deg": [1.0, 2.0, 2.0], "side, px": [5.0]}, y_label="frames")
    heights = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
    assert heights == [3, 1] and figure.axes[0].get_ylabel() == "frames"


def test_crops_are_outlined_where_they_are():
    corners = torch.tensor([[[1.0, 1.0], [1.0, 5.0], [5.0, 5.0], [5.0, 1.0]]])
    figure = crops_on_pictures([torch.zeros(1, 3, 8, 10)], corners, torch.zeros(1, 68, 2))
    outline = figure.axes[0].lines[0].get_xydata()
    assert outline.tolist() == [[1, 1], [1, 5], [5, 5], [5, 1], [1, 1]]


def test_notebooks_are_given_a_picture_of_a_figure():
    figure = picture_grid(torch.zeros(2, 3, 4, 4), 2)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_heatmap_carries_every_number():
    figure = heatmap({"jaw": {"h": 0.25, "W+": 0.5}, "yaw": {"h": 0.96, "W+": -0.1}})
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.25", "0.50", "0.96", "-0.10"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["jaw", "yaw"]


def test_bands_draw_points_in_order_of_x():
    points = [(2.0, 0.5, 0.4, 0.6), (1.0, 0.1, 0.0, 0.2)]
    figure = bands({"R squared": {"yaw": points}}, x_label="style")
    (line,) = figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 2] and line.get_ydata().tolist() == [0.1, 0.5]


def test_maps_share_one_scale_from_zero():
    figure = maps({"round 1": torch.full((4, 4), 0.5), "round 2": torch.eye(4) / 4}, unit="error")
    first, second, scale = figure.axes
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 0.5)
    assert scale.get_ylabel() == "error"
