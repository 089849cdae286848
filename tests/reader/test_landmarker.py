"""The landmarker: the differentiable twin, OpenVINO's run of the same file, and the factors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from xfer.landmarker import (
    BLENDSHAPES,
    FACTORS,
    Landmarker,
    LandmarkerTwin,
    angles,
    crop_region,
    read_factors,
    region_of,
)
from xfer.media.images import to_tensor


@pytest.fixture(scope="module")
def twin(needs):
    needs("face-landmarker")
    return LandmarkerTwin()


@pytest.fixture(scope="module")
def image():
    """Random smooth images: the networks answer to anything."""
    noise = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(noise, (256, 256), mode="bilinear")


def test_a_batch_gives_what_its_images_give_alone(twin, image):
    together, alone = twin(image), [twin(one[None]) for one in image]
    for i, tolerance in ((0, 1e-3), (1, 1e-5)):  # pixels of 256; shares of one
        torch.testing.assert_close(together[i], torch.cat([x[i] for x in alone]),
                                   rtol=0, atol=tolerance)  # fmt: skip


def test_every_factor_has_a_gradient_to_the_image(twin, image):
    image = image[:1].clone().requires_grad_()
    factors = read_factors(*twin(image))[0]
    for name, factor in zip(FACTORS, factors, strict=True):
        (gradient,) = torch.autograd.grad(factor, image, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().max() > 0, name


def test_factors_follow_moved_points_and_blendshapes():
    points, shapes = torch.zeros(1, 478, 3), torch.zeros(1, 52)
    for index, (x, y) in {33: (80, 100), 133: (110, 100), 362: (146, 100), 263: (176, 100),
                          10: (128, 50), 2: (128, 150), 13: (128, 180), 14: (128, 180),
                          159: (95, 95), 145: (95, 105), 386: (161, 95), 374: (161, 105),
                          168: (128, 100), 66: (110, 80), 105: (90, 80), 296: (146, 80),
                          334: (166, 80)}.items():  # fmt: skip
        points[0, index, :2] = torch.tensor([x, y])
    read = lambda p: dict(zip(FACTORS, read_factors(p, shapes)[0].tolist(), strict=True))
    rest = read(points)
    assert rest["yaw"] == pytest.approx(0)
    assert rest["lids"] == pytest.approx(10 / 30) and rest["brow_up"] == pytest.approx(20 / 66)
    moved, turned, raised = points.clone(), points.clone(), points.clone()
    moved[0, 14, 1] += 33
    turned[..., 2] = -points[..., 0] * 0.2  # the image's right side comes nearer: looks left
    raised[..., 2] = -points[..., 1] * 0.2  # the chin comes nearer: looks up
    assert read(moved)["lip_gap"] == pytest.approx(0.5)
    assert read(turned)["yaw"] < -5 and read(raised)["pitch"] > rest["pitch"] + 5
    shapes[0, [BLENDSHAPES.index(n) for n in ("eyeLookInRight", "eyeLookOutLeft")]] = 1
    assert read(points)["gaze_x"] == 1


@pytest.fixture(scope="module")
def landmarker(twin):
    return Landmarker()


def test_openvino_run_agrees_with_mediapipe_on_a_photo(landmarker):
    """What MediaPipe 1.2.3 reads from scikit-image's astronaut, by the same file."""
    oracle = np.load(Path(__file__).parents[1] / "data" / "landmarker_astronaut.npz")
    expected, transform = oracle["landmarks"], oracle["transform"][:3, :3]
    points, score = landmarker.landmarks(astronaut(), landmarker.detect(astronaut())[0])
    eyes = np.linalg.norm((expected[[33, 133]] - expected[[362, 263]]).mean(0)[:2])
    assert np.linalg.norm((points - expected)[:, :2], axis=1).mean() < 0.1 * eyes / 60
    assert np.abs(landmarker.blendshapes(points) - oracle["blendshapes"]).max() < 0.02
    turn = transform / np.linalg.norm(transform[:, 0])
    assert score > 0.9 and np.abs(landmarker.pose(points, 512, 512) - angles(turn)).max() < 0.3


def test_openvino_run_and_twin_agree_on_the_same_crop(twin, landmarker):
    image = crop_region(astronaut(), (224, 100, 190, 0.1), 256)
    whole = (128, 128, 256, 0.0)
    points, _ = landmarker.landmarks(image, whole)
    own, shapes = (x[0].numpy() for x in twin(to_tensor(image)))
    assert np.abs(own - points).max() < 0.005
    assert np.abs(shapes - landmarker.blendshapes(points)).max() < 1e-4


def test_points_turn_with_the_image(landmarker):
    upright = astronaut()
    points, _ = landmarker.landmarks(upright, landmarker.detect(upright)[0])
    turned = np.ascontiguousarray(np.rot90(upright))
    x, y, size, _ = region_of(points)
    own, score = landmarker.landmarks(turned, (y, 511 - x, size, -np.pi / 2))
    assert score > 0.9
    back = np.stack([511 - own[:, 1], own[:, 0]], 1)
    assert np.linalg.norm(back - points[:, :2], axis=1).mean() < 1.5
    roll = landmarker.pose(own, 512, 512)[2] - landmarker.pose(points, 512, 512)[2]
    assert roll == pytest.approx(-90, abs=3)
