"""NVlabs' pickles: opened with the same numbers, settings honoured, source never looked at."""

import numpy as np
import pytest
import torch
from by_rule import KEYS, assert_agree, figures, given, state
from nvlabs_pickles import dump, small_generator

from xfer.errors import BadFile
from xfer.files import read_checkpoint
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator
from xfer.weights import load


def small_discriminator() -> dict[str, torch.Tensor]:
    """Tensors of the public 32 px discriminator's names, narrow."""
    narrow = lambda n: {512: 8, 513: 9, 8192: 128}.get(n, n)
    shapes = KEYS["nvlabs_discriminator_32"]
    return state({name: [narrow(n) for n in shape] for name, shape in shapes.items()})


@torch.no_grad()
def test_a_pickle_draws_what_the_public_code_draws(tmp_path):
    tensors = state(KEYS["nvlabs_generator_32"])
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", tensors, {}, {"c_dim": 0})})
    wanted, generator = figures("nvlabs_generator_32"), Generator.load(path)
    w = generator.mapping(given(21, (2, 512)))
    assert_agree(w, wanted["w"])
    assert_agree(generator.synthesis(w), wanted["image"])
    assert torch.equal(generator.w_mean, tensors["mapping.w_avg"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol, tmp_path):
    tensors = small_generator()
    path = dump(tmp_path / "g.pkl", {"G": ("Generator", tensors, {}, {})}, protocol=protocol)
    found = read_checkpoint(path).networks["generator_raw"].tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_clamp_depth_and_precision_come_from_the_file(tmp_path):
    layers = {
        "synthesis.b4.conv1.": {"conv_clamp": 256, "activation": "lrelu"},
        "mapping.fc0.": {"bias_gain": np.float64(0.02)},
    }
    made = {"synthesis_kwargs": {"num_fp16_res": 2, "conv_clamp": 256, "channel_base": 1 << 14}}
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", small_generator(), layers, made)})
    config = Generator.load(path).config
    assert (config.conv_clamp, config.half_resolutions) == (256.0, 2)
    assert (config.z_dim, config.w_dim, config.mapping_layers) == (24, 16, 3)
    assert config.mapping_lr_multiplier == 0.02
    assert (config.resolution, config.channels(16)) == (16, 8)


def test_settings_are_also_read_where_only_the_arguments_tell_them(tmp_path):
    made = {"conv_clamp": 64, "num_fp16_res": 3, "mapping_kwargs": {"lr_multiplier": 0.05}}
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", small_generator(), {}, made)})
    config = Generator.load(path).config
    assert (config.conv_clamp, config.half_resolutions) == (64.0, 3)
    assert config.mapping_lr_multiplier == 0.05


def test_weights_in_half_precision_become_float32(tmp_path):
    tensors = small_generator()
    half = {name: tensor.half() for name, tensor in tensors.items()}
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", half, {}, {})})
    generator = Generator.load(path)
    assert generator.const.dtype == torch.float32
    torch.testing.assert_close(
        generator.layers[0].weight.detach(), half["synthesis.b4.conv1.weight"].float()
    )


def test_the_averaged_generator_is_preferred_and_each_network_is_reachable(tmp_path):
    average, raw = small_generator(), {n: t + 1 for n, t in small_generator().items()}
    raw |= {n: t for n, t in average.items() if n.endswith("resample_filter")}
    networks = {
        "G": ("Generator", raw, {}, {}),
        "D": ("Discriminator", small_discriminator(), {"b4.mbstd.": {}}, {}),
        "G_ema": ("Generator", average, {}, {}),
    }
    path = dump(tmp_path / "all.pkl", networks)
    assert set(read_checkpoint(path).networks) == {"generator", "generator_raw", "discriminator"}
    assert torch.equal(Generator.load(path).const, average["synthesis.b4.const"])
    assert isinstance(load(path), Generator)
    assert Discriminator.load(path).config.stddev_group == 4


def test_a_discriminators_group_comes_from_its_arguments(tmp_path):
    made = {"epilogue_kwargs": {"mbstd_group_size": 8}, "conv_clamp": 256}
    networks = {"D": ("Discriminator", small_discriminator(), {}, made)}
    critic = load(dump(tmp_path / "d.pkl", networks))
    assert isinstance(critic, Discriminator)
    assert (critic.config.stddev_group, critic.config.conv_clamp) == (8, 256.0)
    assert torch.isfinite(critic(given(3, (8, 3, 32, 32)))).all()


def test_the_source_in_a_pickle_is_never_executed(tmp_path):
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w').write('executed')"
    networks = {"G_ema": ("Generator", small_generator(), {}, {})}
    Generator.load(dump(tmp_path / "g.pkl", networks, source))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mapping.embed.weight": torch.ones(16, 3)}, "class-conditional"),
        ({"synthesis.input.freqs": torch.ones(16, 2)}, "StyleGAN3"),
        ({"synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}, "low-pass filter"),
        ({"synthesis.b8.conv0.weight": None}, r"missing|there are only"),
        ({"mapping.fc1.bias": None}, "missing: mapping.fc1.bias"),
        ({"synthesis.b16.conv1.weight": torch.ones(4, 8, 3, 3)}, r"do not f|should be"),
    ],
)
def test_other_networks_under_these_names_are_refused(changes, complaint, tmp_path):
    tensors = {n: t for n, t in (small_generator() | changes).items() if t is not None}
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", tensors, {}, {})})
    with pytest.raises(BadFile, match=complaint):
        Generator.load(path)


@pytest.mark.parametrize(
    ("attribute", "complaint"),
    [({"activation": "relu"}, "leaky ReLU"), ({"architecture": "orig"}, "architecture")],
)
def test_other_architectures_are_refused(attribute, complaint, tmp_path):
    layers = {"synthesis.b8.conv0.": attribute}
    path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", small_generator(), layers, {})})
    with pytest.raises(BadFile, match=complaint):
        Generator.load(path)
