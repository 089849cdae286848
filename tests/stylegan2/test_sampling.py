"""Seeds are people."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.stylegan2.sampling import draw, interpolation_strip, truncation_strip, z_from_seeds


def tiny():
    return Generator(GeneratorConfig(8, 8, 8, 1, channel_base=64, channel_max=8))


def test_a_seed_is_the_same_person_in_any_company():
    assert torch.equal(z_from_seeds([3, 5], 8)[1:], z_from_seeds([5], 8))


def test_the_strip_has_a_row_a_person_and_a_column_a_psi():
    generator = tiny()
    strip = truncation_strip(generator, [1, 2], [0.0, 0.5, 1.0])
    assert strip.shape == (6, 3, 8, 8)
    torch.testing.assert_close(strip[0], strip[3])  # psi 0 is the mean face for everyone
    torch.testing.assert_close(strip[2::3], draw(generator, [1, 2]))


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_way_begins_and_ends_at_its_people(space):
    generator = tiny()
    strip = interpolation_strip(generator, [(1, 2), (5, 3)], 3, space, psi=0.7)
    assert strip.shape == (6, 3, 8, 8)
    torch.testing.assert_close(strip[[0, 3]], draw(generator, [1, 5], psi=0.7))
    torch.testing.assert_close(strip[[2, 5]], draw(generator, [2, 3], psi=0.7))


def test_halfway_in_w_is_the_mean_of_two_people_and_in_z_another():
    generator = tiny()
    middle = {s: interpolation_strip(generator, [(1, 2)], 3, s)[1:2] for s in ("w", "z")}
    with torch.no_grad():
        mean = generator.mapping(z_from_seeds([1, 2], 8)).mean(0, keepdim=True)
        torch.testing.assert_close(middle["w"], generator.synthesis(mean))
    assert not torch.allclose(middle["w"], middle["z"], atol=1e-4)


def test_a_way_of_one_picture_is_refused():
    with pytest.raises(BadValue, match="2 pictures at least; got 1"):
        interpolation_strip(tiny(), [(1, 2)], 1)
