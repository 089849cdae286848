"""The landmarker: the differentiable twin, OpenVINO's run of the same file, and the factors."""

import pytest
import torch

from xfer.assets import asset_path, fetch
from xfer.errors import XferError
from xfer.landmarker import BLENDSHAPES, FACTOR_UNITS, FACTORS, LandmarkerTwin, read_factors


@pytest.fixture(scope="module")
def twin():
    try:
        fetch(["face-landmarker"])
    except XferError as error:
        pytest.skip(f"the face landmarker is not here: {error}")
    return LandmarkerTwin(asset_path("face-landmarker"))


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
    points = torch.zeros(1, 478, 3)
    for index, (x, y) in {33: (80, 100), 133: (110, 100), 362: (146, 100), 263: (176, 100),
                          10: (128, 50), 2: (128, 150), 13: (128, 180), 14: (128, 180),
                          159: (95, 95), 145: (95, 105), 386: (161, 95), 374: (161, 105),
                          168: (128, 100), 66: (110, 80), 105: (90, 80), 296: (146, 80),
                          334: (166, 80)}.items():  # fmt: skip
        points[0, index, :2] = torch.tensor([x, y])
    shapes = torch.zeros(1, 52)
    rest = dict(zip(FACTORS, read_factors(points, shapes)[0].tolist(), strict=True))
    assert rest["yaw"] == pytest.approx(0)
    assert rest["lids"] == pytest.approx(10 / 30)
    assert rest["brow_up"] == pytest.approx(20 / 66)
    moved = points.clone()
    moved[0, 14, 1] += 33
    assert read_factors(moved, shapes)[0, FACTORS.index("lip_gap")] == pytest.approx(0.5)
    turned = points.clone()
    turned[..., 2] = -points[..., 0] * 0.2  # the image's right side comes nearer: looks left
    assert read_factors(turned, shapes)[0, FACTORS.index("yaw")] < -5
    raised = points.clone()
    raised[..., 2] = -points[..., 1] * 0.2  # the chin comes nearer: looks up
    assert read_factors(raised, shapes)[0, FACTORS.index("pitch")] > rest["pitch"] + 5
    shapes[0, [BLENDSHAPES.index(n) for n in ("eyeLookInRight", "eyeLookOutLeft")]] = 1
    assert read_factors(points, shapes)[0, FACTORS.index("gaze_x")] == 1
    assert list(FACTOR_UNITS) == list(FACTORS)
