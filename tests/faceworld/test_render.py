"""Rendering: deterministic, independent of the batch, and true to its own landmarks."""

import pytest
import torch

from xfer.crop import crop_to_picture
from xfer.errors import BadValue
from xfer.faceworld.factors import draw_factors, rest_motion
from xfer.faceworld.geometry import Part
from xfer.faceworld.render import render

SIZE = 48


@pytest.fixture(scope="module")
def factors():
    return draw_factors(3, seed=11, yaw_deg=25, pitch_deg=10)


def test_repeats_are_bit_equal_and_pictures_are_in_range(factors):
    a, b = (render(*factors.groups, SIZE) for _ in range(2))
    assert torch.equal(a.picture, b.picture)
    assert a.picture.shape == (3, 3, SIZE, SIZE)
    assert a.picture.min() >= -1 and a.picture.max() <= 1 and a.picture.std() > 0.1


def test_a_picture_does_not_depend_on_the_others_of_its_batch(factors):
    together = render(*factors.groups, SIZE, aligned=True)
    for i in range(len(factors)):
        alone = render(*factors.index([i]).groups, SIZE, aligned=True)
        assert (alone.picture[0] - together.picture[i]).abs().max() < 1e-4
        assert torch.equal(alone.parts[0], together.parts[i])


def test_an_aligned_picture_is_the_crop_of_a_large_one(factors):
    aligned = render(*factors.groups, SIZE, aligned=True)
    large = render(*factors.groups, 4 * SIZE)
    steps = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([u.flatten(), v.flatten()], 1).expand(3, -1, 2)
    pixels = crop_to_picture(large.crop, grid).unflatten(1, (SIZE, SIZE))
    found = torch.nn.functional.grid_sample(
        large.picture, pixels / (2 * SIZE) - 1, align_corners=False
    )
    inside = ((pixels > 2) & (pixels < 4 * SIZE - 2)).all(3)[:, None]
    difference = ((found - aligned.picture).abs() * inside).mean()
    assert difference < 0.04


def test_roll_is_taken_out_of_aligned_pictures(factors):
    motion = factors.motion.replace(roll_deg=20.0)
    rolled = render(factors.identity, motion, factors.scene, SIZE, aligned=True)
    eyes = rolled.landmarks_in_crop[:, 45] - rolled.landmarks_in_crop[:, 36]
    slope = torch.rad2deg(torch.atan2(eyes[:, 1], eyes[:, 0]))
    assert slope.abs().max() < 8
    # A positive roll is counter-clockwise, the crop's own roll clockwise.
    assert (rolled.crop.roll_deg + 20).abs().max() < 8


def test_landmarks_lie_on_the_face_in_the_order_of_ibug(factors):
    still = rest_motion(3)
    result = render(factors.identity, still, factors.scene, SIZE)
    points = result.landmarks
    inner = points[:, 27:]
    row, column = inner[..., 1].long(), inner[..., 0].long()
    parts = torch.stack([p[r, c] for p, r, c in zip(result.parts, row, column, strict=True)])
    known = torch.tensor([Part.FACE, Part.EYES, Part.GLASSES])
    assert torch.isin(parts, known).float().mean() > 0.97
    x, y = points[0, :, 0], points[0, :, 1]
    assert x[0] < x[36] < x[39] < x[27] < x[42] < x[45] < x[16]
    assert y[19] < y[37] < y[41] < y[30] < y[33] < y[51] < y[57] < y[8]


def test_a_turned_head_shows_its_own_side_and_moves_the_landmarks(factors):
    left, right = (
        render(factors.identity, rest_motion(3).replace(yaw_deg=a), factors.scene, SIZE).landmarks
        for a in (-30.0, 30.0)
    )
    middle = lambda p: p[:, 30, 0] - 0.5 * (p[:, 0, 0] + p[:, 16, 0])
    assert (middle(left) < -1).all() and (middle(right) > 1).all()


def test_masks_cover_the_picture_once(factors):
    result = render(*factors.groups, SIZE)
    everything = torch.stack([result.mask(part) for part in Part]).sum(0)
    assert (everything == 1).all()
    for area in (result.face, result.background):
        assert 0.05 < area.float().mean() < 0.95


def test_bad_sizes_and_row_counts_are_refused(factors):
    with pytest.raises(BadValue, match="multiple of 4"):
        render(*factors.groups, 50)
    with pytest.raises(BadValue, match="same number of rows"):
        render(factors.identity, rest_motion(2), factors.scene, SIZE)
