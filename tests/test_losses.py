"""Losses and regularisers on answers known by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from by_rule import figures, given
from skimage.data import astronaut, chelsea, coffee

from xfer import losses
from xfer.media.images import to_tensor
from xfer.perceptual import PerceptualFeatures


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

    for mean, penalty in ((2.0, 0), (5.0, 9)):
        lengths = torch.tensor([2.0, 2.0])
        assert losses.path_length_penalty(lengths, torch.tensor(mean)).item() == penalty


def test_the_contrastive_loss_equals_the_public_figure_and_a_margin_makes_it_harder():
    codes = [given(seed, (3, 8, 16)) for seed in range(10, 14)]
    (expected,) = figures("contrastive").values()
    loss = losses.contrastive(*codes)
    torch.testing.assert_close(loss, expected.float().squeeze(), rtol=1e-5, atol=0)
    assert losses.contrastive(*codes, margin=0.2) > loss


def test_the_perceptual_loss_pulls_the_first_image_towards_the_second():
    network = SimpleNamespace(stages=lambda image: [2 * image, image[:, :, ::2, ::2]])
    first, second = (torch.randn(2, 3, 8, 8, requires_grad=True) for _ in range(2))
    assert losses.perceptual(network, first, first).item() == pytest.approx(0, abs=1e-6)
    losses.perceptual(network, first, second).backward()
    assert first.grad.abs().sum() > 0 and second.grad is None


def test_equal_features_are_at_distance_zero_and_opposite_ones_at_four():
    features = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
    for scale, expected in ((1, 0), (-1, 4), (3, 0)):
        distance = losses.feature_distance(features, [scale * x for x in features]).item()
        assert distance == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_identity_distance_runs_from_nothing_to_two():
    flat, images = lambda image: image.flatten(1), torch.eye(3).view(3, 3, 1, 1)
    assert losses.identity_distance(flat, images, images).item() == 0
    assert losses.identity_distance(flat, images, -images).item() == 2


@pytest.fixture(scope="module")
def features(needs):
    needs("efficientnet-lite0")
    return PerceptualFeatures()


def square(image, size):
    return F.interpolate(to_tensor(image), (size, size), mode="area")


def test_a_cat_and_a_cup_of_coffee_are_classified(features):
    images = [square(chelsea()[:, 75:375], 224), square(coffee()[:, 100:500], 224)]
    classes = features.classify(torch.cat(images)).argmax(1).tolist()
    assert classes[0] in range(281, 286) and classes[1] == 967  # cats; espresso


def test_distances_grow_with_blur_and_noise_and_forgive_a_small_shift(features):
    image = square(astronaut()[:256, 96:352], 128)
    blurred = F.interpolate(F.avg_pool2d(image, 4), (128, 128), mode="bilinear")
    soft = F.interpolate(F.avg_pool2d(image, 2), (128, 128), mode="bilinear")
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    other = square(coffee()[:, 100:500], 128)
    views = torch.cat([image, image.roll(1, 3), soft, blurred, image + 0.3 * noise, other])
    distances = features.distance(image.expand(6, -1, -1, -1), views).tolist()
    same, shifted, soft, blurred, noisy, other = distances
    assert same < 1e-6 and shifted < soft < blurred < other and noisy < other
    known = features.stages(image)
    assert features.distance(known, image).item() < 1e-6
    assert [x.shape[1] for x in known] == [16, 24, 40, 112, 320]
