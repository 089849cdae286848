"""Encoders: public numbers, any width, rounds of an inversion."""

import pytest
import torch
from by_rule import KEYS, assert_agree, encoder_state, figures, given, narrow, prefixed

from xfer.encoders import (
    IdentityEncoder,
    IdentityEncoderConfig,
    MotionEncoder,
    MotionEncoderConfig,
)
from xfer.errors import BadFile, BadValue
from xfer.stylegan2.generator import Generator, GeneratorConfig

SLIM = {"resolution": 32, "channels": (8, 12, 16), "blocks": (1, 2, 1), "reduction": 4}


@torch.no_grad()
def test_the_motion_encoder_gives_the_public_code(tmp_path):
    state = encoder_state(KEYS["reference_motion_encoder"])
    torch.save({"state_dict": prefixed("encoder", state)}, tmp_path / "best_model.pt")
    encoder = MotionEncoder.load(tmp_path / "best_model.pt")
    assert encoder.config == MotionEncoderConfig()
    image = 0.5 * given(4, (1, 3, 256, 256))
    assert_agree(encoder(image), figures("motion_encoder")["code"].view(1, 18, 512))


@torch.no_grad()
def test_the_identity_encoder_gives_the_public_offsets(tmp_path):
    state = encoder_state(KEYS["restyle_psp_encoder"])
    mean = given(9, (18, 512))
    torch.save({"state_dict": prefixed("encoder", state), "latent_avg": mean}, tmp_path / "r.pt")
    encoder = IdentityEncoder.load(tmp_path / "r.pt")
    assert encoder.config == IdentityEncoderConfig(own_mean=True)
    assert torch.equal(encoder.latent_mean, mean)
    both = 0.5 * given(5, (1, 6, 256, 256))
    offsets = encoder(both[:, :3], both[:, 3:])
    assert_agree(offsets, figures("restyle_encoder")["offsets"].view(1, 18, 512))


def restyle_file(path, **opts):
    """A ReStyle file of a quarter of the public width."""
    state = encoder_state(narrow(KEYS["restyle_psp_encoder"]))
    torch.save({"state_dict": prefixed("encoder", state), "opts": opts}, path)
    return path


@torch.no_grad()
def test_restyle_e4e_adds_its_offsets_to_the_first_style(tmp_path):
    """Its file has the names of ReStyle-pSp; only its options say what they mean."""
    plain = IdentityEncoder.load(restyle_file(tmp_path / "psp.pt", encoder_type="BackboneEncoder"))
    assert plain.config.channels == (16, 32, 64, 128) and plain.config.w_dim == 128
    kind = {"encoder_type": "ProgressiveBackboneEncoder"}
    summed = IdentityEncoder.load(restyle_file(tmp_path / "e4e.pt", **kind))
    images = 0.5 * given(5, (1, 6, 256, 256))
    heads, codes = (net(images[:, :3], images[:, 3:]) for net in (plain, summed))
    torch.testing.assert_close(codes[:, 0], heads[:, 0])
    torch.testing.assert_close(codes[:, 1:], heads[:, :1] + heads[:, 1:])


@pytest.mark.parametrize(
    "kind", ["GradualStyleEncoder", "Encoder4Editing", "ResNetBackboneEncoder"]
)
def test_an_encoder_of_another_kind_is_refused_by_name(kind, tmp_path):
    with pytest.raises(BadFile, match=f"an encoder of the kind {kind}; xfer reads"):
        IdentityEncoder.load(restyle_file(tmp_path / "x.pt", encoder_type=kind))


@torch.no_grad()
def test_the_motion_code_is_linear_in_the_bottleneck():
    config = MotionEncoderConfig(**SLIM, n_styles=4, w_dim=6, bottleneck=5, pool=2)
    encoder = MotionEncoder(config).eval()
    image = torch.randn(2, 3, 48, 48)
    matrix, bias = encoder.linear()
    expected = (encoder.bottleneck(image) @ matrix.T + bias).view(2, 4, 6)
    torch.testing.assert_close(encoder(image), expected)


def small_generator():
    generator = Generator(GeneratorConfig(16, 6, 6, 1, channel_base=64, channel_max=8)).eval()
    generator.w_mean.normal_()
    return generator


@torch.no_grad()
def test_an_inversion_starts_at_the_mean_and_adds_one_offset_a_round():
    generator = small_generator()
    encoder = IdentityEncoder(
        IdentityEncoderConfig(**SLIM, n_styles=generator.n_styles, w_dim=6, rounds=2)
    ).eval()
    image = torch.randn(2, 3, 16, 16)
    mean = generator.to_w_plus(generator.w_mean[None]).expand(2, -1, -1)
    first = mean + encoder(image, generator.synthesis(mean))
    second = first + encoder(image, generator.synthesis(first))
    torch.testing.assert_close(encoder.invert(image, generator, rounds=1), first)
    torch.testing.assert_close(encoder.invert(image, generator), second)
    with pytest.raises(BadValue, match="at least one round; got 0"):
        encoder.invert(image, generator, rounds=0)


@pytest.mark.parametrize(
    "network",
    [
        lambda: MotionEncoder(MotionEncoderConfig(**SLIM, n_styles=10, w_dim=6, pool=3)),
        lambda: IdentityEncoder(IdentityEncoderConfig(**SLIM, n_styles=14, w_dim=6)),
        lambda: IdentityEncoder(IdentityEncoderConfig(n_styles=4, w_dim=6, head="features")),
    ],
)
@torch.no_grad()
def test_a_saved_network_comes_back_the_same(network, tmp_path):
    made = network().eval()
    again = type(made).load(made.save(tmp_path / "n.safetensors"))
    assert again.config == made.config and not again.training
    assert all(
        torch.equal(a, b) for a, b in zip(made.parameters(), again.parameters(), strict=True)
    )
