"""Figures show what they are given, labelled, in the colours agreed upon, without a screen."""

import numpy as np
import torch
from PIL import Image

from xfer.figures import DRIVER, IDENTITY, curves, image_grid


def test_a_grid_shows_images_in_order_with_its_labels(tmp_path):
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 3, 8, 8)
    figure = image_grid(images, rows=["1", "2"], columns=["a", "b", "c"], title="people")
    levels = [int(place.images[0].get_array()[0, 0, 0]) for place in figure.axes]
    assert levels == [0, 51, 102, 153, 204, 255]
    assert [place.get_title() for place in figure.axes[:3]] == ["a", "b", "c"]
    assert [figure.axes[k].get_ylabel() for k in (0, 3)] == ["1", "2"]
    with Image.open(figure.save(tmp_path / "grid.png")) as picture:
        assert np.asarray(picture).std() > 0 and "trainedAlgorithmicMedia" in str(picture.info)


def test_curves_carry_intervals_and_the_colours_of_driver_and_identity():
    x, y = [1, 2, 3], [0.1, 0.3, 0.2]
    lines = {"driver": (x, y), "identity": (x, y, [0, 0, 0], [1, 1, 1])}
    figure = curves({"yaw, deg": lines}, x_label="time, s")
    first, second = figure.axes[0].get_lines()
    assert (first.get_color(), second.get_color()) == (DRIVER, IDENTITY)
    assert list(first.get_ydata()) == y and len(figure.axes[0].collections) == 1
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("time, s", "yaw, deg")
