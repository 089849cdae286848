"""Inversion on a tiny generator: what it reaches, what it keeps, what it refuses."""

import pytest
import torch

from xfer import inversion
from xfer.errors import BadValue
from xfer.inversion import InversionConfig, PSpace, Target, draw, invert, refine
from xfer.stylegan2.generator import Generator, GeneratorConfig


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(GeneratorConfig(256, 16, 16, 1, channel_base=512, channel_max=8)).eval()


@pytest.fixture(scope="module")
def photo(generator):
    z = 3 * torch.randn(1, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return generator.synthesis(generator.mapping(z)).clamp(-1, 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, needs):
    needs("efficientnet-lite0", "face-landmarker")
    monkeypatch.setattr(inversion, "cache_folder", lambda: tmp_path)
    return tmp_path


def total(photo, image) -> float:
    target = Target(photo, None)
    return float(inversion._weighted(target.losses(image), InversionConfig()).detach())


def test_an_inversion_comes_nearer_to_the_photo_and_is_cached_by_its_settings(
    generator, photo, cache
):
    found = invert(photo, generator, steps=5, progress=False)
    start = generator.synthesis(generator.w_mean[None])
    assert total(photo, draw(generator, found.w_plus, None)) < 0.9 * total(photo, start)
    assert found.w_plus.shape == (1, generator.n_styles, 16)
    again = invert(photo, generator, steps=5, progress=False)
    assert torch.equal(again.w_plus, found.w_plus) and again.seconds == found.seconds
    assert len(list(cache.rglob("*.safetensors"))) == 1
    invert(photo, generator, steps=1, progress=False)
    assert len(list(cache.rglob("*.safetensors"))) == 2


def test_several_photos_give_one_code(generator, photo):
    found = invert(torch.cat([photo, photo.flip(3)]), generator, 2, cache=False, progress=False)
    assert found.w_plus.shape == (1, generator.n_styles, 16)


def test_a_start_is_gone_on_from(generator, photo):
    found = invert(photo, generator, steps=60).w_plus
    near = invert(photo, generator, steps=3, start=found).w_plus
    far = invert(photo, generator, steps=3).w_plus
    assert total(photo, generator.synthesis(near)) < 0.7 * total(photo, generator.synthesis(far))


def test_a_cache_that_takes_no_files_is_said_and_costs_nothing_else(generator, photo, cache):
    (cache / "inversions").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not written"):
        invert(photo, generator, steps=1)


def test_refining_tunes_a_copy_and_comes_back_from_the_cache(generator, photo):
    found = invert(photo, generator, steps=2, progress=False)
    before = {k: v.clone() for k, v in generator.named_parameters()}
    tuned = refine(found, photo, generator, steps=4, progress=False)
    losses = [total(photo, draw(g, found.w_plus, None)) for g in (generator, tuned)]
    assert losses[1] < losses[0]
    assert all(torch.equal(v, before[k]) for k, v in generator.named_parameters())
    again = refine(found, photo, generator, steps=4, progress=False)
    images = [draw(g, found.w_plus, None) for g in (tuned, again)]
    assert torch.allclose(*images, atol=1e-2)


def test_p_space_is_white_and_leads_back_to_w(generator):
    space = PSpace.of(generator)
    w = space.to_w(torch.zeros(space.dim))
    assert torch.allclose(w, torch.nn.functional.leaky_relu(space.mean, 0.2))
    x = torch.linspace(-1, 1, space.dim)
    assert torch.allclose(space.from_w(space.to_w(x)), x, atol=1e-4)
    z = torch.randn(2000, 16, generator=torch.Generator().manual_seed(5))
    p = torch.nn.functional.leaky_relu(generator.mapping(z).detach(), 5.0) - space.mean
    white = p @ space.basis.T / space.basis.square().sum(1)
    assert (white.std(0) - 1).abs().max() < 0.15


def test_small_photos_and_no_steps_are_refused(generator, photo):
    with pytest.raises(BadValue, match="256 px"):
        invert(photo[:, :, :100, :100], generator, 1, cache=False, progress=False)
    with pytest.raises(BadValue, match="1 step"):
        invert(photo, generator, 0, cache=False, progress=False)
