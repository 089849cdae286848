"""The learned rival swaps what its mask says, learns, and is evaluated beside the models."""

import pytest
import torch

from tests.controls.linear_world import SLIM
from xfer.baselines import Driver, Method
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadValue
from xfer.rival import (
    StyleMask,
    StyleMaskConfig,
    StyleSwap,
    is_rival,
    style_channels,
    swapped_pictures,
)
from xfer.stylegan2.generator import Generator, GeneratorConfig


def swap(opening):
    """A rival whose mask is the same number everywhere."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(16, 6, 6, 1, channel_base=64, channel_max=8)).eval()
    mask = StyleMask(StyleMaskConfig(style_channels(generator), 5)).eval()
    torch.nn.init.constant_(mask.mask[2].bias, torch.tensor(opening).logit().item())
    sizes = {"n_styles": generator.n_styles, "w_dim": 6, "rounds": 2}
    return StyleSwap(
        mask, generator, IdentityEncoder(IdentityEncoderConfig(**SLIM, **sizes)).eval()
    )


def latents(seed):
    return torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("opening", "who"), [(1.0, 1), (0.0, 0)])
def test_an_open_mask_shows_the_driver_and_a_closed_one_the_identity(opening, who):
    rival, both = swap(opening), [latents(0), latents(1)]
    drawn = swapped_pictures(rival.mask, rival.generator, *both)
    torch.testing.assert_close(drawn, rival.generator.synthesis(both[who]), atol=1e-5, rtol=1e-4)


def test_half_a_mask_lies_half_way_in_style_space():
    rival, (a, b) = swap(0.5), (latents(0), latents(1))
    styles = zip(rival.generator.styles(a), rival.generator.styles(b), strict=True)
    middle = rival.generator.synthesis_from_styles([(x + y) / 2 for x, y in styles])
    drawn = swapped_pictures(rival.mask, rival.generator, a, b)
    torch.testing.assert_close(drawn, middle, atol=1e-5, rtol=1e-4)


def test_it_travels_in_one_file_and_answers_like_any_method(tmp_path):
    rival = swap(0.3)
    path = rival.save(tmp_path / "rival.safetensors", {"kimg": 1})
    again = StyleSwap.load(path)
    faces = [torch.rand(2, 3, 40, 40) * 2 - 1 for _ in range(3)]
    driver = Driver(*faces[:2])
    assert isinstance(again, Method) and is_rival(path)
    assert again(driver, faces[2]).shape == (2, 3, 40, 40)
    assert torch.equal(again(driver, faces[2]), rival(driver, faces[2]))


def test_wrong_sizes_are_refused():
    with pytest.raises(BadValue, match="channels is at least 1"):
        StyleMaskConfig(0)
