"""Generator and discriminator on answers known beforehand."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from xfer.stylegan2.generator import Generator, GeneratorConfig, z_from_seeds
from xfer.stylegan2.layers import minibatch_stddev, modulated_conv2d

CONFIG = GeneratorConfig(
    resolution=32, z_dim=24, w_dim=20, mapping_layers=3, channel_base=256, channel_max=16
)


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Generator(CONFIG).requires_grad_(False)
        for layer in made.layers:
            layer.noise_strength.fill_(0.3)
        made.w_mean.copy_(made.estimate_w_mean(500)[0])
    return made


def latent(generator, batch=2, seed=1):
    z = torch.randn(batch, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    return generator.to_w_plus(generator.mapping(z))


@pytest.mark.parametrize("resolution", [8, 16, 64, 128])
def test_any_resolution_renders_an_image_of_its_size(resolution):
    config = GeneratorConfig(resolution, 8, 8, 1, channel_base=64, channel_max=8)
    made = Generator(config)
    assert made.n_styles == 2 * (resolution.bit_length() - 2)
    assert made(torch.randn(1, 8)).shape == (1, 3, resolution, resolution)


@pytest.mark.parametrize("resolution", [4, 48, 2048])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(BadValue, match="power of two, 8 to 1024"):
        GeneratorConfig(resolution)


def test_w_and_w_plus_and_style_space_give_the_same_image(generator):
    w_plus = latent(generator)
    from_w = generator.synthesis(w_plus[:, 0])
    torch.testing.assert_close(generator.synthesis(w_plus), from_w)
    torch.testing.assert_close(generator.synthesis_from_styles(generator.styles(w_plus)), from_w)


def test_every_style_reaches_the_image(generator):
    w_plus = latent(generator, 1)
    before = generator.synthesis(w_plus)
    for row in range(generator.n_styles):
        changed = w_plus.clone()
        changed[:, row] += 1.0
        assert (generator.synthesis(changed) - before).abs().max() > 1e-3


def test_psi_zero_is_the_mean_face_and_half_of_it_lies_between(generator):
    w_plus = latent(generator)
    zero = generator.truncate(w_plus, 0.0)
    torch.testing.assert_close(zero, generator.w_mean.expand_as(zero))
    half = generator.truncate(w_plus, 0.5)
    torch.testing.assert_close(half, (w_plus + generator.w_mean) / 2)
    with pytest.raises(BadValue, match=r"psi is .* got 1.5"):
        generator.truncate(w_plus, 1.5)


def test_stored_noise_repeats_and_random_noise_does_not(generator):
    w_plus = latent(generator, 1)
    render = lambda noise: generator.synthesis(w_plus, noise)
    assert torch.equal(render("stored"), render("stored"))
    assert not torch.equal(render("random"), render("random"))
    given = [layer.noise[None, None] for layer in generator.layers]
    assert torch.equal(render(given), render("stored"))
    assert not torch.equal(render("none"), render("stored"))
    with pytest.raises(BadValue, match="noise is stored, random or none"):
        render("loud")


def test_bfloat16_stays_close_to_float32(generator):
    w_plus = latent(generator, 4)
    exact, rough = generator.synthesis(w_plus), generator.synthesis(w_plus, half=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean() < 1e-3 * exact.square().mean()


def test_a_w_plus_of_another_generator_is_refused(generator):
    with pytest.raises(BadValue, match=r"takes W\+ of 8 styles x 20; got 10 x 20"):
        generator.synthesis(torch.zeros(1, 10, 20))


def test_scaling_activations_equals_scaling_each_sample_s_weights():
    rng = torch.Generator().manual_seed(0)
    x, styles = torch.randn(2, 4, 8, 8, generator=rng), torch.randn(2, 4, generator=rng)
    weight = torch.randn(6, 4, 3, 3, generator=rng)
    own = weight / 6.0 * styles[:, None, :, None, None]
    own = own / (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = [torch.conv2d(x[i : i + 1], own[i], padding=1) for i in range(2)]
    torch.testing.assert_close(
        modulated_conv2d(x, weight, styles), torch.cat(expected), atol=1e-5, rtol=1e-5
    )


def test_minibatch_deviation_of_equal_samples_is_zero_and_of_opposite_ones_is_their_size():
    x = torch.ones(4, 2, 3, 3)
    assert minibatch_stddev(x)[:, 2].abs().max() < 1e-3
    x[::2] = -1
    torch.testing.assert_close(minibatch_stddev(x)[:, 2], torch.ones(4, 3, 3))
    assert minibatch_stddev(torch.ones(6, 2, 3, 3)).shape == (6, 3, 3, 3)


def test_a_saved_generator_comes_back_the_same_and_in_half_size_nearly_so(generator, tmp_path):
    w_plus = latent(generator)
    again = Generator.load(generator.save(tmp_path / "g.safetensors"))
    assert again.config == CONFIG and not again.training
    assert torch.equal(again.synthesis(w_plus), generator.synthesis(w_plus))
    half = Generator.load(generator.save(tmp_path / "h.safetensors", dtype=torch.float16))
    assert (half.synthesis(w_plus) - generator.synthesis(w_plus)).abs().max() < 0.02


def test_a_seed_is_the_same_person_in_any_company():
    assert torch.equal(z_from_seeds([3, 5], 8)[1:], z_from_seeds([5], 8))


def test_every_image_gets_one_logit_with_a_gradient():
    discriminator = Discriminator(DiscriminatorConfig(16, channel_base=128, channel_max=16))
    image = torch.randn(4, 3, 16, 16, requires_grad=True)
    logits = discriminator(image)
    assert logits.shape == (4, 1)
    logits.sum().backward()
    assert image.grad.abs().sum() > 0
    with pytest.raises(BadValue, match="images of 16 px; got 32 x 16"):
        discriminator(torch.zeros(1, 3, 16, 32))
