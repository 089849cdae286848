"""The face reader and its landmarker: the right face, read alike however shown, and followed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

from xfer.errors import BadValue, NoFace
from xfer.face_reader import FaceReader, Found, TrackedFrame, smooth_around, smooth_behind
from xfer.landmarker import BLENDSHAPES, FACTORS, Landmarker, LandmarkerTwin, angles, read_factors
from xfer.media.align import crop
from xfer.media.images import to_tensor
from xfer.media.video import Frame


@pytest.fixture(scope="module")
def reader(needs):
    needs("face-landmarker", "efficientnet-lite0")
    return FaceReader()


@pytest.fixture(scope="module")
def portrait():
    """256 px around the astronaut's face."""
    return np.ascontiguousarray(astronaut()[:256, 96:352])


@pytest.fixture(scope="module")
def face(reader, portrait):
    return reader.main(portrait)


def film(*images):
    return [Frame(image, i / 25) for i, image in enumerate(images)]


def resized(image, size):
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def test_factors_are_those_of_the_twin_on_any_thread(face, portrait, reader, twin):
    aligned = to_tensor(crop(portrait, face.quad, 256))
    expected = read_factors(*twin(aligned))[0].numpy()
    np.testing.assert_allclose(face.factors, expected, atol=2e-3)
    assert face.factors[3] > 0.6  # she smiles
    assert abs(face.yaw_deg) < 8 and face.n_faces == 1 and face.points68.shape == (68, 2)
    with ThreadPoolExecutor(2) as pool:
        for other in pool.map(reader.main, [portrait] * 4):
            np.testing.assert_array_equal(other.landmarks, face.landmarks)


def test_a_turned_head_gives_the_same_crop_and_factors(reader, face, portrait):
    turned = Image.fromarray(astronaut()).rotate(-20, Image.Resampling.BICUBIC, center=(224, 128))
    tilted = reader.main(np.asarray(turned)[:256, 96:352])
    assert tilted.roll_deg - face.roll_deg == pytest.approx(20, abs=3)
    assert tilted.factors[:2] == pytest.approx(face.factors[:2], abs=4)
    assert tilted.factors[2:8] == pytest.approx(face.factors[2:8], abs=0.12)


@pytest.mark.parametrize("size", [96, 2600])
def test_small_and_large_images_are_read_alike(reader, face, portrait, size):
    other = reader.main(resized(portrait, (size, size)))
    np.testing.assert_allclose(other.points68 * 256 / size, face.points68, atol=5)
    wide = np.full((900, 1400, 3), 90, np.uint8)
    wide[600:696, 1200:1296] = resized(portrait, (96, 96))
    points = reader.main(wide).points68
    assert (points.min(0) > [1200, 600]).all() and (points.max(0) < [1296, 696]).all()


def test_the_largest_face_is_the_main_one_and_others_are_chosen_from_the_left(reader, portrait):
    two = np.full((300, 600, 3), 90, np.uint8)
    two[60:220, 20:180] = resized(portrait, (160, 160))
    two[20:276, 300:556] = portrait[:, ::-1]
    faces = reader.read(two)
    assert [f.n_faces for f in faces] == [2, 2]
    assert faces[0].landmarks[:, 0].mean() > 300
    assert reader.main(two, face=1).landmarks[:, 0].mean() < 200
    assert reader.main(two, face=2).landmarks[:, 0].mean() > 300
    with pytest.raises(NoFace, match="has 2"):
        reader.main(two, face=3)


@pytest.mark.parametrize("image", [
    np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8),
    np.zeros((16, 16, 3), np.uint8), resized(astronaut()[:256, 96:352], (20, 20)), chelsea(),
], ids=["noise", "16 px", "tiny face", "cat"])  # fmt: skip
def test_no_face_is_one_clear_error(reader, image):
    with pytest.raises(NoFace, match="px"):
        reader.main(image)
    with pytest.raises(BadValue, match="uint8"):
        reader.main(image.astype(np.float32))


def test_a_face_is_followed_lost_and_found_again(reader):
    wide = np.pad(astronaut(), ((0, 0), (100, 100), (0, 0)), mode="edge")
    frames = [wide[:256, x : x + 300] for x in range(150, 190, 5)]
    black = [np.zeros_like(frames[0])] * 2
    for live in (False, True):
        tracked = list(reader.track(film(*frames, *black, *frames), live=live))
        assert [f is None for f in tracked] == [False] * 8 + [True] * 2 + [False] * 8
        left = np.array([f.quad[:, 0].mean() for f in tracked if f])
        assert np.diff(left[:8]).mean() == pytest.approx(-5, abs=0.7)
    assert [f is None for f in reader.track(film(*black))] == [True, True]


def observed(places):
    """Quads of side 100 at given places, 25 a second."""
    square = np.array([[0, 0], [0, 100], [100, 100], [100, 0]], float)

    class Fixed(Found):
        quad = property(lambda self: self.points)

    return [TrackedFrame(None, i / 25, Fixed(square + x), 1) for i, x in enumerate(places)]


def test_smoothing_takes_jitter_away_and_neither_lags_nor_cuts_turns_short():
    after = lambda smooth, x: np.array([q[0, 0] for _, q in smooth(observed(x), 0.08)])
    jitter, pan = np.random.default_rng(0).normal(0, 0.3, 100), np.arange(100) * 0.4
    assert after(smooth_around, jitter)[10:-10].std() < 0.5 * jitter.std()
    assert after(smooth_behind, jitter).std() < 0.8 * jitter.std()
    np.testing.assert_allclose(after(smooth_around, pan)[10:-10], pan[10:-10], atol=2e-3)
    for smooth in (smooth_around, smooth_behind):
        leap = [0] * 20 + [30] * 20
        np.testing.assert_allclose(after(smooth, leap), leap, atol=0.2)


def test_a_still_portrait_is_not_followed_when_the_face_is_away(reader, portrait):
    wall = np.full((300, 640, 3), 90, np.uint8)
    wall[60:220, 20:180] = resized(portrait, (160, 160))
    both = wall.copy()
    both[20:276, 340:596] = portrait[:, ::-1]
    tracked = list(reader.track(film(both, both, wall, wall, both)))
    assert [f and f.quad[:, 0].mean() > 300 for f in tracked] == [True, True, None, None, True]
    assert tracked[0].n_faces == 2
    first = list(reader.track(film(both, both), face=1))
    assert all(f.quad[:, 0].mean() < 200 for f in first)


def test_dlib_may_find_the_faces_that_the_landmarker_reads(reader, portrait):
    pytest.importorskip("dlib")
    ours, theirs = reader.main(portrait), FaceReader("dlib").main(portrait)
    eyes = np.linalg.norm(ours.landmarks[33, :2] - ours.landmarks[263, :2])
    apart = np.linalg.norm((ours.landmarks - theirs.landmarks)[:, :2], axis=1)
    assert apart.mean() < 0.03 * eyes


@pytest.fixture(scope="module")
def twin(needs):
    needs("face-landmarker")
    return LandmarkerTwin()


@pytest.fixture(scope="module")
def smooth():
    """Random smooth images: the networks answer to anything."""
    noise = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(noise, (256, 256), mode="bilinear")


def test_a_batch_gives_what_its_images_give_alone_and_factors_have_gradients(twin, smooth):
    together, alone = twin(smooth), [twin(one[None]) for one in smooth]
    for i, tolerance in ((0, 1e-3), (1, 1e-5)):  # pixels of 256; shares of one
        torch.testing.assert_close(together[i], torch.cat([x[i] for x in alone]),
                                   rtol=0, atol=tolerance)  # fmt: skip
    image = smooth[:1].clone().requires_grad_()
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


def test_openvino_run_agrees_with_mediapipe_on_a_photo(twin):
    """What MediaPipe 1.2.3 reads from scikit-image's astronaut, by the same file."""
    oracle = np.load(Path(__file__).parents[1] / "data" / "landmarker_astronaut.npz")
    expected, transform = oracle["landmarks"], oracle["transform"][:3, :3]
    landmarker = Landmarker()
    points, score = landmarker.landmarks(astronaut(), landmarker.detect(astronaut())[0])
    eyes = np.linalg.norm((expected[[33, 133]] - expected[[362, 263]]).mean(0)[:2])
    assert np.linalg.norm((points - expected)[:, :2], axis=1).mean() < 0.1 * eyes / 60
    assert np.abs(landmarker.blendshapes(points) - oracle["blendshapes"]).max() < 0.02
    turn = transform / np.linalg.norm(transform[:, 0])
    assert score > 0.9 and np.abs(landmarker.pose(points, 512, 512) - angles(turn)).max() < 0.3
