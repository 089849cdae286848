"""Losses and regularisers on answers known by hand."""

import math

import pytest
import torch
from by_rule import figures, given

from xfer import losses

CODES = [given(seed, (3, 8, 16)) for seed in range(10, 14)]


def test_undecided_logits_cost_log_two_each():
    zero = torch.zeros(4, 1)
    assert losses.generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_r1_of_a_linear_discriminator_is_its_squared_weight():
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
    (expected,) = figures("contrastive").values()
    torch.testing.assert_close(
        losses.contrastive(*CODES), expected.float().squeeze(), rtol=1e-5, atol=0
    )


def test_a_margin_makes_the_contrastive_loss_harder():
    """Subtracted from positives and negatives alike it would cancel."""
    assert losses.contrastive(*CODES, margin=0.2) > losses.contrastive(*CODES)


class Doubled:
    """A network of two stages whose features are known."""

    def stages(self, image):
        return [2 * image, image[:, :, ::2, ::2]]


def test_the_perceptual_loss_pulls_the_first_image_towards_the_second():
    first, second = (torch.randn(2, 3, 8, 8, requires_grad=True) for _ in range(2))
    assert losses.perceptual(Doubled(), first, first).item() == pytest.approx(0, abs=1e-6)
    losses.perceptual(Doubled(), first, second).backward()
    assert first.grad.abs().sum() > 0 and second.grad is None


def test_equal_features_are_at_distance_zero_and_opposite_ones_at_four():
    features = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
    assert losses.feature_distance(features, features).item() == 0
    opposite = [-x for x in features]
    assert losses.feature_distance(features, opposite).item() == pytest.approx(4, rel=1e-5)
    scaled = [3 * x for x in features]
    assert losses.feature_distance(features, scaled).item() == pytest.approx(0, abs=1e-6)


def test_identity_distance_runs_from_nothing_to_two():
    unit = torch.eye(3)
    flat = lambda image: image.flatten(1)
    images = unit.view(3, 3, 1, 1)
    assert losses.identity_distance(flat, images, images).item() == 0
    assert losses.identity_distance(flat, images, -images).item() == 2


def test_equal_styles_have_no_spread():
    w = torch.randn(2, 1, 5)
    assert losses.style_spread(w.expand(2, 4, 5)).item() == 0
    moved = torch.cat([w, w + 2], dim=1)
    assert losses.style_spread(moved).item() == pytest.approx(4)
