"""Alignment against the public code's own images; paste-back against the image it came from."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from xfer.errors import BadValue
from xfer.media import align
from xfer.media.align import crop, ffhq_quad, paste, soft_mask, to_square

DATA = Path(__file__).parents[1] / "data" / "align"
LANDMARKS = json.loads((DATA / "landmarks.json").read_text())
LANDMARKS = {name: np.array(points, np.float32) for name, points in LANDMARKS.items()}


def image_of(name):
    image = astronaut()
    if name == "astronaut_cropped":
        return np.ascontiguousarray(image[60:260, 150:300])
    if name == "astronaut_2048":
        return np.array(Image.fromarray(image).resize((2048, 2048), Image.Resampling.BICUBIC))
    return image


def upright(centre, side):
    return np.array(centre) + np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2


@pytest.mark.parametrize("name", LANDMARKS)
def test_crops_equal_those_of_the_public_code(name):
    expected = np.array(Image.open(DATA / f"{name}_256.png")).astype(float)
    assert np.abs(crop(image_of(name), ffhq_quad(LANDMARKS[name]), 256) - expected).mean() < 0.7


def test_points_go_into_the_crop_and_back():
    points = LANDMARKS["astronaut"]
    quad = ffhq_quad(points)
    inside = to_square(points, quad, 256)
    eyes = inside[36:48].mean(0)
    assert abs(eyes[0] - 127.5) < 12 and 90 < eyes[1] < 128
    matrix = align.square_to_image(quad, 256)
    assert np.abs(inside @ matrix[:, :2].T + matrix[:, 2] - points).max() < 1e-3
    assert np.allclose(matrix @ (-0.5, -0.5, 1), quad[0])


def test_an_upright_crop_of_its_own_size_is_a_plain_cut():
    image = astronaut()
    # Pixel centres are whole numbers, so 64 pixels from 100 on have their middle at 131.5.
    assert np.array_equal(crop(image, upright((231.5, 131.5), 64), 64), image[100:164, 200:264])


def test_crops_beyond_the_image_are_mirrored_and_senseless_ones_refused():
    image = astronaut()
    edge = crop(image, upright((0.0, 256.0), 128), 128)
    assert np.abs(edge[40:90, 70:90].astype(int) - edge[40:90, 38:58][:, ::-1]).mean() < 16
    assert crop(image, upright((-900.0, 2000.0), 300), 32).shape == (32, 32, 3)
    for side in (0.0, 1e9, float("nan")):
        with pytest.raises(BadValue, match="side lies between"):
            crop(image, upright((10.0, 10.0), side), 32)


@pytest.mark.parametrize("size", [256, 1024])
def test_pasting_a_crop_back_changes_almost_nothing(size):
    image, quad = image_of("astronaut_2048"), ffhq_quad(LANDMARKS["astronaut_2048"])
    before = image.copy()
    mask = align.face_mask(to_square(LANDMARKS["astronaut_2048"], quad, 128), 128)
    again = paste(image, crop(image, quad, size), quad, mask)
    assert np.abs(again.astype(float) - image).mean() < 0.3 and np.array_equal(image, before)
    row, column = to_square(LANDMARKS["astronaut_2048"], quad, 128)[30].round().astype(int)[::-1]
    assert mask[row, column] > 0.95 and mask[0].max() < 0.05 and mask[-1, 0] < 0.05


def test_a_pasted_face_takes_on_the_image_s_colours_and_leaves_the_rest_alone():
    image, quad = astronaut(), upright((231.5, 131.5), 64)
    dark = (crop(image, quad, 128) * 0.5).astype(np.uint8)
    result = paste(image, dark, quad, soft_mask())
    assert np.abs(result.astype(int) - image)[100:164, 200:264].mean() < 14
    result[100:164, 200:264] = image[100:164, 200:264]
    assert np.array_equal(result, image)
    image, face = astronaut(), np.full((16, 16, 3), 255, np.uint8)
    result = paste(image, face, upright((0.0, 0.0), 40), soft_mask())
    assert np.array_equal(result[21:], image[21:])
    away = paste(image, face, upright((-500.0, 0.0), 40), soft_mask())
    assert np.array_equal(away, image)
