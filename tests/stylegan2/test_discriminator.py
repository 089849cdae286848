"""The discriminator's shape, precision and refusals."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.stylegan2.discriminator import Discriminator, DiscriminatorConfig


@pytest.fixture(scope="module")
def discriminator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator(DiscriminatorConfig(16, channel_base=128, channel_max=16))


def test_every_image_gets_one_logit_with_a_gradient(discriminator):
    image = torch.randn(4, 3, 16, 16, requires_grad=True)
    logits = discriminator(image)
    assert logits.shape == (4, 1)
    logits.sum().backward()
    assert image.grad.abs().sum() > 0


def test_images_of_another_size_are_refused(discriminator):
    with pytest.raises(BadValue, match="images of 16 px; got 32 x 16"):
        discriminator(torch.zeros(1, 3, 16, 32))
