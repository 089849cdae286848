"""Generators and discriminator on answers known beforehand; prepared ones render the same."""

import copy

import numpy as np
import openvino
import pytest
import torch
import torch.nn.functional as F
from by_rule import assert_agree, given

from xfer import assets
from xfer.errors import BadFile, BadValue
from xfer.media.images import to_array
from xfer.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from xfer.stylegan2.generator import Generator, GeneratorConfig, z_from_seeds
from xfer.stylegan2.inference import Prepared, PreparedWavelet
from xfer.stylegan2.layouts import read_constants
from xfer.stylegan2.wavelet import Preview, PreviewConfig, WaveletGenerator


def shaken(**sizes):
    """A generator with biases and noise, so that nothing is left out unnoticed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        g = Generator(GeneratorConfig(**sizes)).requires_grad_(False).eval()
        strengths = [layer.noise_strength for layer in g.layers]
        biases = [layer.bias for layer in (*g.layers, *g.to_rgb)]
        for tensor in (*strengths, *biases, g.w_mean):
            tensor.normal_(std=0.3)
    return g


@pytest.fixture(scope="module")
def generator():
    return shaken(resolution=64, z_dim=16, w_dim=16, mapping_layers=2, channel_base=512)


def styles(g, batch=3):
    return given(1, (batch, g.n_styles, g.w_dim))


@pytest.mark.parametrize("noise", ["stored", "none"])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_renders_the_plain_generator_s_images(generator, noise, batch):
    w_plus = styles(generator, batch)
    fast = generator.prepare()
    assert_agree(fast.synthesis(w_plus, noise), generator.synthesis(w_plus, noise))
    assert_agree(fast.synthesis(w_plus[:, 0]), generator.synthesis(w_plus[:, 0]))


def test_each_sample_may_have_its_own_noise_and_clamps_hold(generator):
    w_plus = styles(generator)
    noise = [torch.randn(3, 1, layer.resolution, layer.resolution) for layer in generator.layers]
    assert_agree(generator.prepare().synthesis(w_plus, noise), generator.synthesis(w_plus, noise))
    g = shaken(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64, conv_clamp=0.4)
    w_plus = styles(g) * 4
    assert_agree(g.prepare().synthesis(w_plus), g.synthesis(w_plus))


def test_it_maps_truncates_and_mixes_like_the_generator(generator):
    fast = generator.prepare()
    z = given(2, (2, 16))
    w_plus = fast.truncate(fast.to_w_plus(fast.mapping(z)), 0.5)
    assert_agree(fast.synthesis(w_plus), generator(z, psi=0.5))
    assert (fast.n_styles, fast.resolution, fast.z_dim, fast.w_dim) == (10, 64, 16, 16)
    with pytest.raises(BadValue, match="takes W\\+ of 10 styles"):
        fast.synthesis(torch.zeros(1, 8, 16))


def test_half_size_is_the_average_of_four_pixels(generator):
    w_plus = styles(generator, 1)
    wanted = F.avg_pool2d(generator.synthesis(w_plus), 2)
    fast = generator.prepare(size=32)
    assert_agree(fast.synthesis(w_plus), wanted)
    assert fast.resolution == 32 and fast.frames(w_plus).shape == (1, 32, 32, 3)
    with pytest.raises(BadValue, match="64, 32, 16 px; got 48"):
        generator.prepare(size=48)


@pytest.fixture(scope="module")
def wavelets():
    """A small wavelet generator with the heads of previews."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = WaveletGenerator(widths=(32, 32, 16, 16, 16, 16, 16), w_dim=16)
        sizes = PreviewConfig(16, 16, 8, 8, n_styles=14, w_dim=16)
        made._preview.append(Preview(sizes))
        for module in (made, made.preview_heads):
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.data += 0.2 * torch.randn_like(tensor)
    return made.requires_grad_(False).eval()


@pytest.mark.parametrize("kind", [PreparedWavelet, Prepared])
def test_a_prepared_wavelet_generator_renders_the_plain_one_s_images(wavelets, kind):
    w_plus = styles(wavelets, 2)
    whole, fast = wavelets.synthesis(w_plus), kind(wavelets)
    fast.exact = True
    assert_agree(fast.synthesis(w_plus), whole)
    assert_agree(fast.synthesis(w_plus, "none"), wavelets.synthesis(w_plus, "none"))
    for size in (128, 256):
        assert_agree(fast.preview(w_plus, size), wavelets.preview(w_plus, size))
        averaged = F.adaptive_avg_pool2d(whole, size)
        assert_agree(kind(wavelets, size).synthesis(w_plus), averaged)


def test_frames_are_bytes_and_come_in_order_when_streamed(wavelets):
    w_plus = styles(wavelets, 3)
    scale = wavelets.synthesis(w_plus).abs().max()
    quiet = copy.deepcopy(wavelets)
    quiet.to_wavelets.conv.weight /= scale
    quiet.to_wavelets.conv.bias /= scale
    exact = (quiet.synthesis(w_plus).clamp(-1, 1) + 1) * 127.5
    exact = exact.permute(0, 2, 3, 1).numpy()
    assert np.abs(PreparedWavelet(quiet, exact=True).frames(w_plus) - exact).max() < 0.6
    fast = quiet.prepare()
    frames = fast.frames(w_plus)
    assert frames.dtype == np.uint8 and frames.std() > 5
    assert np.square(frames - exact).mean() < 255**2 / 10**3.5  # 35 dB, in bfloat16 perhaps
    streamed = list(fast.stream(w_plus.split(1)))
    assert all(np.array_equal(one, frame) for one, frame in zip(streamed, frames, strict=True))
    small = np.stack(list(fast.stream(w_plus.split(1), preview=True)))
    assert np.abs(small - to_array(fast.preview(w_plus)).astype(int)).max() <= 1
    stopped = fast.stream(w_plus.split(1))
    assert np.array_equal(next(stopped), frames[0])
    stopped.close()


def test_w_and_w_plus_and_style_space_give_the_same_image(generator):
    w_plus = styles(generator)
    w_plus = generator.to_w_plus(w_plus[:, 0])
    from_w = generator.synthesis(w_plus[:, 0])
    torch.testing.assert_close(generator.synthesis(w_plus), from_w)
    torch.testing.assert_close(generator.synthesis_from_styles(generator.styles(w_plus)), from_w)


def test_psi_zero_is_the_mean_face_and_half_of_it_lies_between(generator):
    w_plus = styles(generator)
    for psi in (0.0, 0.5):
        expected = psi * w_plus + (1 - psi) * generator.w_mean
        torch.testing.assert_close(generator.truncate(w_plus, psi), expected)
    with pytest.raises(BadValue, match=r"psi is .* got 1.5"):
        generator.truncate(w_plus, 1.5)


def test_stored_noise_repeats_and_random_noise_does_not(generator):
    w_plus = styles(generator, 1)
    render = lambda noise: generator.synthesis(w_plus, noise)
    assert torch.equal(render("stored"), render("stored"))
    assert not torch.equal(render("random"), render("random"))
    images = [layer.noise[None, None] for layer in generator.layers]
    assert torch.equal(render(images), render("stored"))
    assert not torch.equal(render("none"), render("stored"))
    with pytest.raises(BadValue, match="noise is stored, random or none"):
        render("loud")


def test_a_saved_generator_comes_back_the_same_and_in_half_size_nearly_so(generator, tmp_path):
    w_plus = styles(generator)
    again = Generator.load(generator.save(tmp_path / "g.safetensors"))
    assert again.config == generator.config and not again.training
    assert torch.equal(again.synthesis(w_plus), generator.synthesis(w_plus))
    half = Generator.load(generator.save(tmp_path / "h.safetensors", dtype=torch.float16))
    assert (half.synthesis(w_plus) - generator.synthesis(w_plus)).abs().max() < 0.02
    w_plus = styles(generator, 4)
    exact, rough = generator.synthesis(w_plus), generator.synthesis(w_plus, half=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean() < 1e-3 * exact.square().mean()


def test_a_seed_is_the_same_person_in_any_company():
    assert torch.equal(z_from_seeds([3, 5], 8)[1:], z_from_seeds([5], 8))


def test_other_resolutions_are_refused():
    for resolution in (4, 48, 2048):
        with pytest.raises(BadValue, match="power of two, 8 to 1024"):
            GeneratorConfig(resolution)
    discriminator = Discriminator(DiscriminatorConfig(16, channel_base=128, channel_max=16))
    with pytest.raises(BadValue, match="images of 16 px; got 32 x 16"):
        discriminator(torch.zeros(1, 3, 16, 32))


@pytest.fixture(scope="module")
def ffhq(needs) -> WaveletGenerator:
    needs("ffhq")
    return Generator.load("ffhq").requires_grad_(False)


def openvino_run(network: str, inputs: torch.Tensor) -> torch.Tensor:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    path = assets.asset_path(f"{network}.xml")
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    return torch.cat([torch.from_numpy(compiled(row[None].numpy())[0]) for row in inputs])


def test_mapping_synthesis_and_mean_agree_with_the_packaged_network(ffhq):
    z = z_from_seeds([1, 2, 3], 512)
    w = ffhq.mapping(z)
    assert_agree(w, openvino_run("ffhq-mapping", z))
    for ours, theirs in zip(w.split(1), openvino_run("ffhq-synthesis", w), strict=True):
        assert_agree(ffhq.synthesis(ours)[0], theirs)
    others = ffhq.estimate_w_mean(4000, seed=7)[0]
    assert (ffhq.w_mean - others).norm() < 0.1 * others.norm()
    assert (ffhq.n_styles, ffhq.resolution, ffhq.w_dim, ffhq.z_dim) == (16, 1024, 512, 512)


def test_a_preview_is_the_image_brought_down_and_its_gradient_reaches_w_plus(ffhq):
    w_plus = ffhq.to_w_plus(ffhq.mapping(z_from_seeds([11, 12], 512))).clone()
    whole = ffhq.synthesis(w_plus)
    w_plus.requires_grad_()
    for size in (128, 256):
        small = ffhq.preview(w_plus, size)
        assert small.shape == (2, 3, size, size)
        error = (small.clamp(-1, 1) - F.adaptive_avg_pool2d(whole, size).clamp(-1, 1)).square()
        assert error.mean() < 4 * 10**-2.2, "at least 22 dB"
        (gradient,) = torch.autograd.grad(small.square().sum(), w_plus)
        assert (gradient[:, :9].abs().sum(-1) > 0).all()
    with pytest.raises(BadValue, match="128 or 256 px; got 64"):
        ffhq.preview(w_plus, 64)


def test_every_style_reaches_the_image_and_style_space_gives_the_same(wavelets):
    w_plus = styles(wavelets, 1)
    before = wavelets.synthesis(w_plus)
    torch.testing.assert_close(wavelets.synthesis_from_styles(wavelets.styles(w_plus)), before)
    for row in range(wavelets.n_styles):
        changed = w_plus.clone()
        changed[:, row] += 1.0
        assert (wavelets.synthesis(changed) - before).abs().max() > 1e-4 * before.abs().max()


@pytest.mark.parametrize("text", ["<net", '<!DOCTYPE x [<!ENTITY a "b">]><net/>'])
def test_a_damaged_or_hostile_network_file_is_refused(text, tmp_path, monkeypatch):
    (tmp_path / "n.xml").write_text(text)
    (tmp_path / "n.bin").write_bytes(b"")
    monkeypatch.setattr("xfer.stylegan2.layouts.asset_path", lambda name: tmp_path / name)
    with pytest.raises(BadFile, match="fetch it again"):
        read_constants("n")
