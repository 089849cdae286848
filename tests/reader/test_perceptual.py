"""Perceptual features: ImageNet's classes are known, and distances order as eyes would."""

import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut, chelsea, coffee

from xfer.media.images import to_tensor
from xfer.perceptual import PerceptualFeatures


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
    same, shifted, soft, blurred, noisy, other = features.distance(
        image.expand(6, -1, -1, -1), views
    ).tolist()
    assert same < 1e-6 and shifted < soft < blurred < other and noisy < other
    known = features.stages(image)
    assert features.distance(known, image).item() < 1e-6
    assert [x.shape[1] for x in known] == [16, 24, 40, 112, 320]


def test_the_distance_has_a_gradient_and_batches_do_not_mix(features):
    image = square(astronaut(), 64).requires_grad_()
    target = square(coffee(), 64)
    together = features.distance(torch.cat([image, target]), torch.cat([target, target]))
    assert together[0].item() == pytest.approx(features.distance(image, target).item(), rel=1e-4)
    together[0].backward()
    assert image.grad.isfinite().all() and image.grad.abs().max() > 0
