"""Seeds are people."""

import torch

from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.stylegan2.sampling import draw, truncation_strip, z_from_seeds


def test_a_seed_is_the_same_person_in_any_company():
    assert torch.equal(z_from_seeds([3, 5], 8)[1:], z_from_seeds([5], 8))


def test_the_strip_has_a_row_a_person_and_a_column_a_psi():
    generator = Generator(GeneratorConfig(8, 8, 8, 1, channel_base=64, channel_max=8))
    strip = truncation_strip(generator, [1, 2], [0.0, 0.5, 1.0])
    assert strip.shape == (6, 3, 8, 8)
    torch.testing.assert_close(strip[0], strip[3])  # psi 0 is the mean face for everyone
    torch.testing.assert_close(strip[2::3], draw(generator, [1, 2]))
