"""What is inverted once is the same as what is inverted every time."""

import pytest
import torch

from xfer.baselines import Driver, Inverted, LatentDifference, Transferred, copy_identity
from xfer.evaluate.recalling import Inversions, recalling
from xfer.model import Transfer
from xfer.reenact.studio import untrained_model
from xfer.rival import StyleMask, StyleMaskConfig, StyleSwap, style_channels


@pytest.fixture
def models(tmp_path):
    """Two with one inverter, read from files of their own, and one with another."""
    torch.manual_seed(0)
    plain = untrained_model()
    path = plain.save(tmp_path / "plain.safetensors")
    mask = StyleMask(StyleMaskConfig(style_channels(plain.generator))).eval()
    other = Transfer.load(path)
    with torch.no_grad():
        other.identity_encoder.styles[0].linear.bias.add_(0.5)
    twin = Transfer.load(path)
    swap = StyleSwap(mask, twin.generator, twin.identity_encoder)
    return {"plain": plain.prepare(), "swap": swap, "other": other.prepare()}


def counting(models):
    """How many pictures each model's own encoder is asked for."""
    asked = dict.fromkeys(models, 0)

    def watch(name, encoder):
        find = encoder.invert

        def invert(image, *rest):
            asked[name] += len(image)
            return find(image, *rest)

        encoder.invert = invert

    for name, model in models.items():
        watch(name, model.encoder if isinstance(model, StyleSwap) else model.identity_encoder)
    return asked


@torch.no_grad()
def test_methods_give_the_same_pictures_and_ask_once(models):
    driver = Driver(*torch.rand(2, 3, 3, 32, 32).mul(2).sub(1))
    identity = torch.rand(3, 3, 32, 32).mul(2).sub(1)[[0, 0, 1]]

    def pictures(known):
        plain = known["plain"]
        methods = [Transferred(plain), Inverted(plain, copy_identity), LatentDifference(plain)]
        methods += [known["swap"], Transferred(known["other"])]
        return [method(driver, identity) for method in methods]

    expected = pictures(models)
    asked = counting(models)
    found = pictures(recalling(models))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert asked == {"plain": 2 + 3 + 3, "swap": 0, "other": 2}


def test_rounds_and_sizes_are_told_apart():
    asked = []

    def find(image, rounds):
        asked.append((len(image), rounds))
        return image.mean((1, 2, 3))[:, None, None].expand(-1, 2, 4) + (rounds or 0)

    known, images = Inversions(find), torch.rand(2, 3, 4, 4)
    first = known.invert(images)
    assert torch.equal(known.invert(images[[1, 0, 1]]), first[[1, 0, 1]])
    assert torch.equal(known.invert(images[:1], rounds=3), first[:1] + 3)
    known.invert(images[:1].reshape(1, 3, 2, 8))
    assert asked == [(2, None), (1, 3), (1, None)]


def test_models_without_an_inverter_share_none(models):
    for name in ("plain", "other"):
        models[name].identity_encoder = None
    known = recalling({name: models[name] for name in ("plain", "other")})
    assert known["plain"].known is not known["other"].known
