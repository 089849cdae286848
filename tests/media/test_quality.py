"""Pose, sharpness, size and cuts on pictures whose answer is known."""

import numpy as np
import pytest
from moving_pictures import moving_face, ramps
from PIL import Image, ImageFilter
from skimage.data import astronaut

from xfer.faceworld.factors import draw_factors
from xfer.faceworld.render import render
from xfer.media.quality import CutFinder, head_pose, share_outside, sharpness


def test_the_pose_of_rendered_heads_is_read_off_their_landmarks():
    factors = draw_factors(60, seed=3, preset="studio", yaw_deg=35)
    landmarks = render(*factors.groups, 16).landmarks.numpy()
    read = np.array([head_pose(points) for points in landmarks])
    for column, (name, least) in enumerate(
        {"yaw_deg": 0.97, "pitch_deg": 0.8, "roll_deg": 0.95}.items()
    ):
        truth = factors.columns[name].numpy()
        assert np.corrcoef(read[:, column], truth)[0, 1] > least, name
        error = read[:, column] - truth
        # How far a calm head looks up differs from person to person, and so from the plain head.
        assert np.abs(error - np.median(error)).mean() < 5, name


def test_the_pose_does_not_depend_on_size_or_place():
    points = render(*draw_factors(1, seed=1).groups, 16).landmarks[0].numpy()
    assert head_pose(points * 7 + 100) == pytest.approx(head_pose(points), abs=1e-3)


def test_a_blurred_picture_is_less_sharp():
    picture = Image.fromarray(astronaut()).crop((130, 40, 330, 240))
    values = [sharpness(np.array(picture.filter(ImageFilter.GaussianBlur(r)))) for r in (0, 2, 6)]
    assert values[0] > 2 * values[1] > 4 * values[2]
    assert sharpness(np.zeros((8, 8, 3), np.uint8)) == 0


def test_half_a_square_beyond_the_edge_counts_half():
    square = np.array([[-10, 0], [-10, 20], [10, 20], [10, 0]], float) - 0.5
    assert share_outside(square, 100, 100) == 0.5
    assert share_outside(square + 30, 100, 100) == 0
    assert share_outside(square + 300, 100, 100) == 1


def test_cuts_are_counted_and_motion_is_none():
    finder = CutFinder()
    scene = moving_face(8, 128)
    other = [255 - picture for picture in scene]
    cuts = [finder.is_cut(picture) for picture in [*scene, *other, *scene]]
    assert [place for place, cut in enumerate(cuts) if cut] == [8, 16]
    assert finder.shot == 2
    quiet = CutFinder()
    assert not any(quiet.is_cut(picture) for picture in ramps(20))
