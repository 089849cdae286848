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


def test_equal_features_are_at_distance_zero_and_opposite_ones_at_four():
    features = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
    assert losses.feature_distance(features, features).item() == 0
    opposite = [-x for x in features]
    assert losses.feature_distance(features, opposite).item() == pytest.approx(4, rel=1e-5)
    scaled = [3 * x for x in features]
    assert losses.feature_distance(features, scaled).item() == pytest.approx(0, abs=1e-6)


def test_identity_distance_runs_from_nothing_to_two():
    unit = torch.eye(3)
    assert losses.identity_distance(unit, unit).item() == 0
    assert losses.identity_distance(unit, -unit).item() == 2


def test_equal_styles_have_no_spread():
    w = torch.randn(2, 1, 5)
    assert losses.style_spread(w.expand(2, 4, 5)).item() == 0
    moved = torch.cat([w, w + 2], dim=1)
    assert losses.style_spread(moved).item() == pytest.approx(4)


def test_the_hinge_asks_for_a_margin_and_no_more():
    real, fake = torch.tensor([[3.0], [0.0]]), torch.tensor([[-2.0], [1.0]])
    assert losses.hinge_discriminator_loss(real, fake) == pytest.approx(1 / 2 + 2 / 2)
    assert losses.hinge_generator_loss(fake) == pytest.approx(0.5)
