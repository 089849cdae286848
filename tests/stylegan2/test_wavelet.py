"""The generator of faces against OpenVINO's own run of the packaged network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xfer import assets
from xfer.errors import BadFile, BadValue
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.stylegan2.wavelet import InverseHaar, WaveletGenerator, read_constants

fetched = pytest.mark.skipif(
    not all(a.path.exists() for name, a in assets.ASSETS.items() if name.startswith("ffhq")),
    reason="the generator is not fetched (xfer weights fetch)",
)


@pytest.fixture(scope="module")
def ffhq() -> WaveletGenerator:
    return Generator.load("ffhq").requires_grad_(False)


@pytest.fixture(scope="module")
def small() -> WaveletGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = WaveletGenerator(widths=(32, 32, 16), w_dim=16).requires_grad_(False)
        for name, buffer in made.named_buffers():
            if name.endswith("noise"):
                buffer.normal_(std=0.3)
        for parameter in made.parameters():
            parameter.mul_(2)
    return made


def latent(generator, batch=2, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, generator.n_styles, generator.w_dim, generator=rng)


def openvino_run(network: str, inputs: torch.Tensor) -> np.ndarray:
    openvino = pytest.importorskip("openvino")
    path = assets.asset_path(f"{network}.xml")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    return np.concatenate([compiled(row[None].numpy())[0] for row in inputs])


@fetched
def test_mapping_and_synthesis_agree_with_the_packaged_network(ffhq):
    z = z_from_seeds([1, 2, 3], 512)
    w = ffhq.mapping(z)
    packaged = openvino_run("ffhq-mapping", z)
    assert np.abs(w.numpy() - packaged).max() < 1e-4 * np.abs(packaged).max()
    images = openvino_run("ffhq-synthesis", w)
    for ours, theirs in zip(w.split(1), images, strict=True):
        error = np.abs(ffhq.synthesis(ours)[0].numpy() - theirs)
        assert error.max() < 1e-4 * np.abs(theirs).max()


@fetched
def test_the_mean_of_w_is_the_mean_of_many(ffhq):
    others = ffhq.estimate_w_mean(4000, seed=7)[0]
    assert (ffhq.w_mean - others).norm() < 0.1 * others.norm()
    assert (ffhq.n_styles, ffhq.resolution, ffhq.w_dim, ffhq.z_dim) == (16, 1024, 512, 512)


@fetched
def test_the_first_nine_styles_are_those_of_the_layers_up_to_64_px(ffhq):
    w_plus = ffhq.to_w_plus(ffhq.mapping(z_from_seeds([1], 512)))
    fine = w_plus.clone()
    fine[:, 9:] += 1.0
    before, after = ffhq.features(w_plus, upto=64), ffhq.features(fine, upto=64)
    assert list(before)[-1] == "64_conv1"
    assert all(torch.equal(before[name], after[name]) for name in before)


@fetched
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


def test_haar_of_a_constant_is_constant_and_details_are_differences():
    low = torch.tensor([2.0, 0.0, 0.0, 0.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(InverseHaar()(low), torch.ones(1, 1, 2, 2))
    details = torch.tensor([0.0, 2.0, 0.0, 0.0]).view(1, 4, 1, 1)
    expected = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).view(1, 1, 2, 2)
    torch.testing.assert_close(InverseHaar()(details), expected)


def test_every_style_reaches_the_image_and_style_space_gives_the_same(small):
    w_plus = latent(small, 1)
    before = small.synthesis(w_plus)
    assert before.shape == (1, 3, small.resolution, small.resolution) == (1, 3, 32, 32)
    torch.testing.assert_close(small.synthesis_from_styles(small.styles(w_plus)), before)
    for row in range(small.n_styles):
        changed = w_plus.clone()
        changed[:, row] += 1.0
        assert (small.synthesis(changed) - before).abs().max() > 1e-4 * before.abs().max()


def test_a_sample_does_not_depend_on_its_batch_and_has_a_gradient(small):
    w_plus = latent(small, 3).requires_grad_()
    together = small.synthesis(w_plus)
    alone = small.synthesis(w_plus[1:2])
    assert (alone - together[1:2]).abs().max() < 1e-5 * together.abs().max()
    together[1].square().sum().backward()
    own = w_plus.grad.abs().sum(-1)
    assert (own[1] > 0).all() and (own[[0, 2]] == 0).all()


def test_features_come_by_name_and_noise_by_choice(small):
    w_plus, features = latent(small, 1), {}
    stored = small.synthesis(w_plus, features=features)
    assert list(features) == ["4_conv0", "8_conv0", "8_conv1", "16_conv0", "16_conv1"]
    some = small.features(w_plus, upto=8)
    assert list(some) == list(features)[:3]
    assert all(torch.equal(some[name], features[name]) for name in some)
    assert not torch.equal(small.synthesis(w_plus, "none"), stored)
    assert not torch.equal(small.synthesis(w_plus, "random"), small.synthesis(w_plus, "random"))


@pytest.mark.parametrize("text", ["<net", '<!DOCTYPE x [<!ENTITY a "b">]><net/>'])
def test_a_damaged_or_hostile_network_file_is_refused(text, tmp_path, monkeypatch):
    (tmp_path / "n.xml").write_text(text)
    (tmp_path / "n.bin").write_bytes(b"")
    monkeypatch.setattr("xfer.stylegan2.wavelet.asset_path", lambda name: tmp_path / name)
    with pytest.raises(BadFile, match="fetch it again"):
        read_constants("n")
