"""Previews against the whole image brought down to their size."""

import pytest
import torch
import torch.nn.functional as F
from test_wavelet import fetched

from xfer.errors import BadValue
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.stylegan2.preview import Preview, PreviewConfig


@fetched
def test_a_preview_is_the_image_brought_down_and_its_gradient_reaches_w_plus():
    generator = Generator.load("ffhq").requires_grad_(False)
    w_plus = generator.to_w_plus(generator.mapping(z_from_seeds([11, 12], 512))).clone()
    whole = generator.synthesis(w_plus)
    w_plus.requires_grad_()
    for size in (128, 256):
        small = generator.preview(w_plus, size)
        assert small.shape == (2, 3, size, size)
        error = (small.clamp(-1, 1) - F.adaptive_avg_pool2d(whole, size).clamp(-1, 1)).square()
        assert error.mean() < 4 * 10**-2.2, "at least 22 dB"
        (gradient,) = torch.autograd.grad(small.square().sum(), w_plus)
        assert (gradient[:, :9].abs().sum(-1) > 0).all()


def test_other_sizes_are_refused():
    with pytest.raises(BadValue, match="128 or 256 px; got 64"):
        Preview(PreviewConfig(8, 8, 8, 8, 4, 8, 2, 3)).head(64)
