"""Alignment against the public code's own pictures; paste-back against the picture it came from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from xfer.crop import Crop, ffhq_crop, picture_to_crop
from xfer.errors import BadValue
from xfer.media.align import align, face_mask, paste_back, soft_mask
from xfer.pixels import from_uint8

DATA = Path(__file__).parents[1] / "data" / "align"
LANDMARKS = json.loads((DATA / "landmarks.json").read_text())


def picture(name):
    pixels = astronaut()
    if name == "astronaut_cropped":
        return np.ascontiguousarray(pixels[60:260, 150:300])
    if name == "astronaut_2048":
        return np.array(Image.fromarray(pixels).resize((2048, 2048), Image.Resampling.BICUBIC))
    return pixels


def crop_of(name):
    return ffhq_crop(torch.tensor(LANDMARKS[name], dtype=torch.float32)[None])


@pytest.mark.parametrize("oversample, most", [(4, 0.2), (None, 0.5)])
@pytest.mark.parametrize("name", LANDMARKS)
def test_aligned_pictures_equal_those_of_the_public_code(name, oversample, most):
    expected = np.array(Image.open(DATA / f"{name}_256.png")).astype(float)
    aligned = align(picture(name), crop_of(name), 256, oversample)
    assert np.abs(aligned - expected).mean() < most


def test_the_landmarks_land_where_ffhq_has_them():
    name = "astronaut"
    points = torch.tensor(LANDMARKS[name], dtype=torch.float32)[None]
    inside = picture_to_crop(crop_of(name), points)[0]
    eyes = inside[36:48].mean(0)
    assert eyes[0].abs() < 0.1 and -0.2 < eyes[1] < 0
    assert (inside.abs() < 1).all()


def upright(center, side):
    return Crop(torch.tensor([center]), torch.tensor([[side / 2, 0.0]]))


def test_an_upright_crop_of_its_own_size_is_a_plain_cut():
    pixels = astronaut()
    # Pixel centres are whole numbers, so 64 pixels from 100 on have their middle at 131.5.
    cut = align(pixels, upright((231.5, 131.5), 64.0), 64, 1)
    assert np.array_equal(cut, pixels[100:164, 200:264])


def test_a_crop_wholly_outside_the_picture_still_gives_a_picture():
    aligned = align(astronaut(), upright((-900.0, 2000.0), 300.0), 32)
    assert aligned.shape == (32, 32, 3)


@pytest.mark.parametrize("side", [0.0, 1e9, float("nan")])
def test_a_senseless_crop_is_one_clear_error(side):
    with pytest.raises(BadValue, match="side is between"):
        align(astronaut(), upright((10.0, 10.0), side), 32)


@pytest.mark.parametrize("name", LANDMARKS)
def test_pasting_an_aligned_picture_back_changes_almost_nothing(name):
    pixels, crop = picture(name), crop_of(name)
    again = paste_back(pixels, from_uint8(align(pixels, crop, 512)[None]), crop)
    # FFHQ's padding also blurs a margin inside the picture where the crop leaves it.
    most = 4.0 if name == "astronaut_cropped" else 0.5
    assert np.abs(again.astype(float) - pixels).mean() < most
    assert not np.shares_memory(again, pixels)


def test_pasting_fills_the_square_and_leaves_the_rest_alone():
    pixels, crop = astronaut(), upright((231.5, 131.5), 64.0)
    white, full = torch.ones(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    result = paste_back(pixels, white, crop, full)
    assert (result[100:164, 200:264] == 255).all()
    result[100:164, 200:264] = pixels[100:164, 200:264]
    assert np.array_equal(result, pixels)


def test_pasting_beyond_the_edge_touches_only_what_is_there():
    pixels = astronaut()
    result = paste_back(pixels, torch.ones(1, 3, 8, 8), upright((0.0, 0.0), 40.0))
    assert np.array_equal(result[21:], pixels[21:]) and not np.array_equal(result, pixels)
    far = paste_back(pixels, torch.ones(1, 3, 8, 8), upright((-500.0, 0.0), 40.0))
    assert np.array_equal(far, pixels)


def test_the_soft_mask_is_one_inside_and_zero_at_the_edges():
    mask = soft_mask(64)[0, 0]
    assert (mask[16:48, 16:48] == 1).all()
    assert mask[0].max() < 0.02 and mask[:, -1].max() < 0.02
    assert torch.equal(mask, mask.flip(0).flip(1).T)


def test_the_face_mask_covers_the_face_and_not_the_corners():
    points = torch.tensor(LANDMARKS["astronaut"], dtype=torch.float32)[None]
    inside = picture_to_crop(crop_of("astronaut"), points)
    mask = face_mask(inside, 64)[0, 0]
    nose = ((inside[0, 30] + 1) * 32).long()
    assert mask[nose[1], nose[0]] > 0.95
    assert mask[0].max() < 0.05 and mask[-1, 0] < 0.05
