"""The generator of faces against OpenVINO's own run of the packaged network."""

import numpy as np
import openvino
import pytest
import torch
import torch.nn.functional as F

from xfer import assets
from xfer.errors import BadFile, BadValue
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.stylegan2.layouts import read_constants
from xfer.stylegan2.wavelet import WaveletGenerator

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
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    path = assets.asset_path(f"{network}.xml")
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    return np.concatenate([compiled(row[None].numpy())[0] for row in inputs])


@fetched
def test_mapping_synthesis_and_mean_agree_with_the_packaged_network(ffhq):
    z = z_from_seeds([1, 2, 3], 512)
    w = ffhq.mapping(z)
    packaged = openvino_run("ffhq-mapping", z)
    assert np.abs(w.numpy() - packaged).max() < 1e-4 * np.abs(packaged).max()
    images = openvino_run("ffhq-synthesis", w)
    for ours, theirs in zip(w.split(1), images, strict=True):
        error = np.abs(ffhq.synthesis(ours)[0].numpy() - theirs)
        assert error.max() < 1e-4 * np.abs(theirs).max()
    others = ffhq.estimate_w_mean(4000, seed=7)[0]
    assert (ffhq.w_mean - others).norm() < 0.1 * others.norm()
    assert (ffhq.n_styles, ffhq.resolution, ffhq.w_dim, ffhq.z_dim) == (16, 1024, 512, 512)


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


def test_every_style_reaches_the_image_and_style_space_gives_the_same(small):
    w_plus = latent(small, 1)
    before = small.synthesis(w_plus)
    assert before.shape == (1, 3, small.resolution, small.resolution) == (1, 3, 32, 32)
    torch.testing.assert_close(small.synthesis_from_styles(small.styles(w_plus)), before)
    for row in range(small.n_styles):
        changed = w_plus.clone()
        changed[:, row] += 1.0
        assert (small.synthesis(changed) - before).abs().max() > 1e-4 * before.abs().max()


@pytest.mark.parametrize("text", ["<net", '<!DOCTYPE x [<!ENTITY a "b">]><net/>'])
def test_a_damaged_or_hostile_network_file_is_refused(text, tmp_path, monkeypatch):
    (tmp_path / "n.xml").write_text(text)
    (tmp_path / "n.bin").write_bytes(b"")
    monkeypatch.setattr("xfer.stylegan2.layouts.asset_path", lambda name: tmp_path / name)
    with pytest.raises(BadFile, match="fetch it again"):
        read_constants("n")
