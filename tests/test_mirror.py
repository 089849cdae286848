"""Mirror images: left and right change places, and twice is never."""

import dataclasses

import torch

from xfer.faceworld.factors import draw_factors
from xfer.faceworld.render import render
from xfer.instruments import MOTION_FACTORS, FactorReader, load_instruments
from xfer.mirror import POINTS, mirrored_factors, mirrored_points


def test_a_mirror_before_a_mirror_shows_the_face_itself():
    values, points = torch.randn(3, len(MOTION_FACTORS)), torch.randn(3, 68, 2)
    names = list(MOTION_FACTORS)
    assert torch.equal(mirrored_factors(mirrored_factors(values, names), names), values)
    assert torch.equal(mirrored_points(mirrored_points(points)), points)
    assert sorted(POINTS) == list(range(68))


def test_sides_change_places_and_directions_their_signs():
    found = mirrored_factors(torch.tensor([[20.0, 5.0, 1.0, 0.25]]),
                             ["yaw_deg", "pitch_deg", "blink_left", "blink_right"])  # fmt: skip
    assert found.tolist() == [[-20.0, 5.0, 0.25, 1.0]]


def test_points_are_those_of_a_face_that_is_its_own_mirror_image():
    """On a symmetrical face that looks straight ahead every point has its twin across the nose."""
    one = draw_factors(1, 0, "studio")
    rest = {name: torch.zeros(1) for name in one.motion.names}
    plain = dataclasses.replace(one.identity, values=torch.zeros_like(one.identity.values))
    drawn = render(plain, one.motion.replace(**rest), one.scene, 32, aligned=True)
    points = drawn.landmarks_in_crop
    off = (points - mirrored_points(points)).abs().amax()
    assert off < 0.01, off
    assert (points - points * points.new_tensor([-1.0, 1.0])).abs().amax() > 0.3


def test_a_mirrored_reader_reads_the_mirror_image_as_the_mirrored_face():
    reader = load_instruments("small-judges", "judge").reader
    assert reader.config.mirrored
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    factors, points = reader(image)
    others, flipped = reader(image.flip(3))
    torch.testing.assert_close(mirrored_factors(others, MOTION_FACTORS), factors)
    torch.testing.assert_close(mirrored_points(flipped), points)
    once = FactorReader(dataclasses.replace(reader.config, mirrored=False)).eval()
    once.load_state_dict(reader.state_dict())
    assert (once(image)[0] - factors).abs().max() > 0.01
