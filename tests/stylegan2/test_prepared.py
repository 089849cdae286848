"""The prepared generator draws the plain one's pictures."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.stylegan2 import prepared
from xfer.stylegan2.generator import Generator, GeneratorConfig


def shaken(**sizes):
    """A generator with biases and noise, so that nothing is left out unnoticed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        g = Generator(GeneratorConfig(**sizes)).requires_grad_(False).eval()
        for layer in g.layers:
            layer.noise_strength.normal_(std=0.3)
            layer.bias.normal_(std=0.3)
        for layer in g.to_rgb:
            layer.bias.normal_(std=0.3)
    return g


@pytest.fixture(scope="module")
def generator():
    return shaken(resolution=64, z_dim=16, w_dim=16, mapping_layers=2, channel_base=512)


def styles(g, batch=3):
    rng = torch.Generator().manual_seed(1)
    return torch.randn(batch, g.n_styles, g.w_dim, generator=rng)


def assert_same(ours, theirs):
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("noise", ["stored", "none"])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_draws_the_plain_generator_s_pictures(generator, noise, batch):
    w_plus = styles(generator, batch)
    fast = generator.prepare()
    assert_same(fast.synthesis(w_plus, noise), generator.synthesis(w_plus, noise))
    assert_same(fast.synthesis(w_plus[:, 0]), generator.synthesis(w_plus[:, 0]))


@pytest.mark.parametrize("limit", [0, 1024])
def test_shared_and_own_weights_agree_at_every_resolution(generator, limit, monkeypatch):
    monkeypatch.setattr(prepared, "BATCHED_UP_TO", limit)
    w_plus = styles(generator)
    given = [torch.randn(3, 1, la.resolution, la.resolution) for la in generator.layers]
    for noise in ("stored", given):
        ours = generator.prepare().synthesis(w_plus, noise)
        assert_same(ours, generator.synthesis(w_plus, noise))


def test_random_noise_is_random_and_as_strong_as_the_plain_one(generator):
    w_plus, fast = styles(generator, 1), generator.prepare()
    spread = lambda g: torch.stack([g.synthesis(w_plus, "random") for _ in range(24)]).std(0).mean()
    assert spread(fast) == pytest.approx(spread(generator).item(), rel=0.1)


def test_clamps_hold():
    g = shaken(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64, conv_clamp=0.4)
    w_plus = styles(g) * 4
    assert_same(g.prepare().synthesis(w_plus), g.synthesis(w_plus))


def test_styles_of_any_size_stay_in_range(generator):
    w_plus = styles(generator) * 1e4
    assert_same(generator.prepare().synthesis(w_plus), generator.synthesis(w_plus))


def test_it_maps_truncates_and_mixes_like_the_generator(generator):
    fast = generator.prepare()
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(2))
    assert_same(fast(z, psi=0.5), generator(z, psi=0.5))
    assert (fast.n_styles, fast.resolution, fast.z_dim, fast.w_dim) == (10, 64, 16, 16)
    with pytest.raises(BadValue, match="takes W\\+ of 10 styles"):
        fast.synthesis(torch.zeros(1, 8, 16))
    with pytest.raises(AttributeError):
        _ = fast.unheard_of


def test_bfloat16_is_close_where_it_exists_and_else_replaced_and_said(generator, monkeypatch):
    w_plus = styles(generator)
    exact = generator.synthesis(w_plus)
    monkeypatch.setattr(prepared, "has_fast_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="no bfloat16 arithmetic; preparing in float32"):
        assert_same(generator.prepare(torch.bfloat16).synthesis(w_plus), exact)
    monkeypatch.setattr(prepared, "has_fast_bfloat16", lambda device: True)
    rough = generator.prepare(torch.bfloat16).synthesis(w_plus)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean() < 1e-3 * exact.square().mean()
    with pytest.raises(BadValue, match="dtype is float32, bfloat16 or float16"):
        generator.prepare(torch.int8)
