"""Losses and regularisers on answers known by hand."""

import math

import pytest
import torch

from xfer import losses


def codes(seed):
    """The parity input `x(seed, (3, 8, 16))`."""
    import numpy as np

    values = np.random.Generator(np.random.PCG64(seed)).standard_normal((3, 8, 16))
    return torch.tensor(values, dtype=torch.float32)


def test_undecided_logits_cost_log_two_each():
    zero = torch.zeros(4, 1)
    assert losses.generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_r1_of_a_linear_critic_is_its_squared_weight():
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    image = torch.randn(5, 3, 8, 8).requires_grad_()
    logits = (image * weight).sum((1, 2, 3))[:, None]
    assert losses.r1_penalty(logits, image).item() == pytest.approx(weight.square().sum().item())


def test_path_length_of_a_linear_generator_is_the_norm_of_its_transposed_product():
    # G(w) = A w for one style: J^T y = A^T y, whatever w is.
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(3 * 4 * 4, 6, generator=rng)
    w_plus = torch.randn(2, 1, 6, generator=rng, requires_grad=True)
    noise = torch.randn(2, 3, 4, 4, generator=rng)
    image = (w_plus[:, 0] @ a.T).view(2, 3, 4, 4)
    expected = ((noise.flatten(1) / 4) @ a).norm(dim=1)
    torch.testing.assert_close(losses.path_lengths(image, w_plus, noise), expected)


def test_path_length_penalty_vanishes_at_the_mean():
    lengths = torch.tensor([2.0, 2.0])
    assert losses.path_length_penalty(lengths, torch.tensor(2.0)).item() == 0
    assert losses.path_length_penalty(lengths, torch.tensor(5.0)).item() == 9


def test_the_contrastive_loss_equals_the_public_figure():
    value = losses.contrastive(codes(10), codes(11), codes(12), codes(13))
    assert value.item() == pytest.approx(1.697721, abs=1e-5)


def test_a_margin_makes_the_contrastive_loss_harder():
    arguments = [codes(seed) for seed in range(10, 14)]
    assert losses.contrastive(*arguments, margin=0.2) > losses.contrastive(*arguments)
