"""The landmarker: the differentiable twin, OpenVINO's run of the same file, and the factors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.io import imread

from xfer.assets import asset_path, fetch
from xfer.errors import XferError
from xfer.landmarker import (
    BLENDSHAPES,
    FACTOR_UNITS,
    FACTORS,
    Landmarker,
    LandmarkerTwin,
    angles,
    crop_region,
    read_factors,
    region_of,
)


@pytest.fixture(scope="module")
def twin():
    try:
        fetch(["face-landmarker"])
    except XferError as error:
        pytest.skip(f"the face landmarker is not here: {error}")
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


@pytest.fixture(scope="module")
def landmarker(twin):
    return Landmarker()


def agreement(landmarker, image, landmarks, blendshapes, transform):
    """Errors against MediaPipe: points in px at 60 px between the eyes, shares, degrees."""
    region = min(
        landmarker.detect(image),
        key=lambda r: np.linalg.norm(r[:2] - landmarks[:, :2].mean(0)),
    )
    points, score = landmarker.landmarks(image, region)
    assert score > 0.9
    eyes = np.linalg.norm((landmarks[[33, 133]] - landmarks[[362, 263]]).mean(0)[:2])
    turn = transform[:3, :3] / np.linalg.norm(transform[:3, 0])
    pose = landmarker.pose(points, image.shape[1], image.shape[0])
    return (
        np.linalg.norm((points - landmarks)[:, :2], axis=1).mean() * 60 / eyes,
        np.abs(landmarker.blendshapes(points) - blendshapes).max(),
        np.abs(pose - angles(turn)).max(),
    )


def test_openvino_run_agrees_with_mediapipe_on_a_photo(landmarker):
    """What MediaPipe 1.2.3 reads from scikit-image's astronaut, by the same file."""
    oracle = np.load(Path(__file__).parents[1] / "data" / "landmarker_astronaut.npz")
    pixels, share, degrees = agreement(landmarker, astronaut(), **oracle)
    assert pixels < 0.1 and share < 0.02 and degrees < 0.3


def test_openvino_run_and_twin_agree_on_the_same_crop(twin, landmarker):
    image = crop_region(astronaut(), (224, 100, 190, 0.1), 256)
    whole = (128, 128, 256, 0.0)
    points, _ = landmarker.landmarks(image, whole)
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    own, shapes = (x[0].numpy() for x in twin(tensor))
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


@pytest.mark.long
def test_openvino_run_agrees_with_mediapipe_on_other_images(landmarker):
    """Against MediaPipe itself, where it is installed; for photos in a folder beside the code."""
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    folder = Path(__file__).resolve().parents[2] / "../shared/media"
    files = [folder / name for name in ("s3.jpg", "s8.jpg", "s12.jpg", "s42.jpg")]
    if not files[0].exists():
        pytest.skip("the folder of photos is not here")
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(asset_path("face-landmarker"))),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with vision.FaceLandmarker.create_from_options(options) as oracle:
        for file in files:
            image = imread(file)
            height, width = image.shape[:2]
            seen = oracle.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            points = np.array([[p.x, p.y, p.z] for p in seen.face_landmarks[0]])
            shapes = np.array([shape.score for shape in seen.face_blendshapes[0]])
            pixels, share, degrees = agreement(
                landmarker, image, points * [width, height, width], shapes,
                seen.facial_transformation_matrixes[0],
            )  # fmt: skip
            assert pixels < 0.5 and share < 0.02 and degrees < 1, file.name
