"""The 68 points against the surface and the paint they are defined on."""

import pytest
import torch

from xfer.crop import ffhq_crop
from xfer.faceworld.factors import draw_factors, rest_motion
from xfer.faceworld.head import lip_edges
from xfer.faceworld.kernels import kernels
from xfer.faceworld.landmarks import landmarks_3d
from xfer.faceworld.render import render
from xfer.faceworld.rig import PITCH_AT_REST_DEG, build_rig

PEOPLE = 12
CENTER = [[24.6146, 24.1259], [33.5819, 27.2423]]
HALF = [[27.5596, -5.8663], [27.5852, 4.8088]]


@pytest.fixture(scope="module")
def people():
    return draw_factors(PEOPLE, seed=31).identity


def points_of(people, **motion):
    """Rig and 68 points of faces that look straight ahead, whose head and world are then one."""
    motion = rest_motion(PEOPLE).replace(pitch_deg=-PITCH_AT_REST_DEG, **motion)
    rig = build_rig(people, motion)
    return rig, landmarks_3d(rig, kernels(False))


def test_the_point_of_the_chin_goes_down_with_the_jaw(people):
    for jaw in (0.0, 0.5, 1.0):
        rig, points = points_of(people, jaw=jaw)
        below = rig.head.chin_y[:, 0] - rig.head.chin_radius[:, 0] - points.y[:, 8]
        assert below.abs().max() < 0.05, jaw


def test_the_chin_is_the_lowest_point_and_the_contour_runs_down_to_it(people):
    _, points = points_of(people)
    down = points.y[:, :9].diff(dim=1)
    assert (down < 0.005).all()
    assert (points.x[:, 1:16].diff(dim=1) > 0).all()


def test_the_points_of_the_ears_stay_at_the_height_of_the_eyes(people):
    low, high = (points_of(people.replace(eye_height=h)) for h in (-1.5, 1.5))
    eyes = high[0].eyes.y - low[0].eyes.y
    ears = high[1].y[:, [0, 16]] - low[1].y[:, [0, 16]]
    assert (ears / eyes - 1).abs().max() < 0.3


def test_a_fuller_lip_moves_its_outer_points_and_not_the_corners(people):
    thin, full = (points_of(people.replace(upper_lip=v))[1].y for v in (-1.0, 1.0))
    moved = full - thin
    assert (moved[:, 49:54] > 0.005).all()
    assert moved[:, [48, 54]].abs().max() < 0.02


def test_the_lips_inner_points_part_as_far_as_the_mouth_opens(people):
    rig, points = points_of(people, jaw=0.8)
    _, _, upper, lower, _ = lip_edges(rig.mouth, torch.zeros(PEOPLE, 1))
    gap = points.y[:, 62] - points.y[:, 66]
    assert (gap / (upper - lower)[:, 0] - 1).abs().max() < 0.1


def test_raised_brows_and_their_points_go_up_together(people):
    (rest, still), (_, raised) = points_of(people), points_of(people, brow=1.0)
    assert (raised.y[:, 17:27] - still.y[:, 17:27] > 0.06).all()
    above = still.y[:, 19] - rest.brows.y_right[:, 0]
    assert (above > 0.01).all() and (above < 0.14).all()


def test_the_crop_of_known_faces_is_where_training_data_was_cut():
    """Shipped weights know faces in these crops: eye and mouth points may not move."""
    factors = draw_factors(2, seed=32, yaw_deg=20)
    crop = ffhq_crop(render(*factors.groups, 64).landmarks)
    torch.testing.assert_close(crop.center, torch.tensor(CENTER), atol=2e-3, rtol=0)
    torch.testing.assert_close(crop.half, torch.tensor(HALF), atol=2e-3, rtol=0)
