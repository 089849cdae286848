"""Translation between layouts: there and back, NVlabs' pickles, and what files leave unsaid."""

import numpy as np
import pytest
import torch
from by_rule import KEYS, assert_agree, figures, given, state
from by_rule import rosinality_generator as generator_shapes
from nvlabs_pickles import dump, small_generator

from xfer.checkpoints import read_checkpoint
from xfer.errors import BadFile
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator
from xfer.weights import convert, load

SHAPES = generator_shapes(16, styles=12, mapping=2, top=6)


def rosinality_file(path, shapes=SHAPES, **beside):
    torch.save({"g_ema": state(shapes)} | beside, path)
    return path


@pytest.mark.parametrize(
    ("size", "multiplier", "styles", "mapping", "top"),
    [(8, 2, 24, 1, 16), (64, 1, 512, 8, 512), (128, 2, 40, 3, 128)],
)
def test_sizes_are_read_off_the_tensors(size, multiplier, styles, mapping, top, tmp_path):
    shapes = generator_shapes(size, multiplier, styles, mapping, top)
    config = Generator.load(rosinality_file(tmp_path / "g.pt", shapes)).config
    assert (config.resolution, config.z_dim, config.w_dim) == (size, styles, styles)
    assert config.mapping_layers == mapping
    for r in (4 << i for i in range(size.bit_length() - 2)):
        assert config.channels(r) == min(top, 16384 * multiplier // r)


def test_a_public_file_is_the_same_generator_in_our_layout(tmp_path):
    path = rosinality_file(tmp_path / "g.pt", latent_avg=given(5, (12,)))
    ours = Generator.load(convert(path, tmp_path / "g.safetensors"))
    z = given(1, (2, 12))
    assert torch.equal(ours(z, psi=0.7), Generator.load(path)(z, psi=0.7))
    half = convert(path, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < (tmp_path / "g.safetensors").stat().st_size


def test_the_mean_comes_from_the_file_in_either_shape_or_is_estimated(tmp_path):
    mean = given(5, (12,))
    for beside in ({"latent_avg": mean}, {"latent_avg": mean.repeat(6, 1)}):
        generator = Generator.load(rosinality_file(tmp_path / "g.pt", **beside))
        torch.testing.assert_close(generator.w_mean, mean)
    generator = Generator.load(rosinality_file(tmp_path / "g.pt"))
    many = generator.mapping(given(6, (20_000, 12))).mean(0)
    torch.testing.assert_close(generator.w_mean, many, atol=0.05, rtol=0)


def test_early_files_without_noise_images_get_the_same_ones_every_time(tmp_path):
    bare = {name: shape for name, shape in SHAPES.items() if not name.startswith("noises")}
    first, second = (Generator.load(rosinality_file(tmp_path / "g.pt", bare)) for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert torch.equal(a.noise, b.noise) and 0.5 < a.noise.std() < 1.5
    some = {name: shape for name, shape in SHAPES.items() if name != "noises.noise_2"}
    with pytest.raises(BadFile, match=r'Missing .* "layers\.2\.noise"'):
        Generator.load(rosinality_file(tmp_path / "g.pt", some))


def test_widths_that_follow_no_rule_are_named(tmp_path):
    shapes = generator_shapes(32, styles=12, mapping=1, top=8)
    for name, shape in shapes.items():  # wider at 16 px than below
        if name.startswith(("convs.2.", "convs.3.", "to_rgbs.1.")):
            shapes[name] = [n * 2 if n == 8 else n for n in shape]
    shapes["convs.2.conv.weight"][2] = 8
    shapes["convs.4.conv.weight"][2] = 16
    with pytest.raises(BadFile, match="channels at 4 px do not follow"):
        Generator.load(rosinality_file(tmp_path / "g.pt", shapes))


def test_a_class_conditional_generator_is_refused_by_name(tmp_path):
    torch.save({"g_ema": state(SHAPES | {"style.1.weight": [12, 24]})}, tmp_path / "g.pt")
    with pytest.raises(BadFile, match=r"class-conditional.*takes 24 numbers and gives 12"):
        Generator.load(tmp_path / "g.pt")


# NVlabs' pickles ------------------------------------------------------------------------------


def small_discriminator() -> dict[str, torch.Tensor]:
    """Tensors of the public 32 px discriminator's names, narrow."""
    narrow = lambda n: {512: 8, 513: 9, 8192: 128}.get(n, n)
    shapes = KEYS["nvlabs_discriminator_32"]
    return state({name: [narrow(n) for n in shape] for name, shape in shapes.items()})


@torch.no_grad()
def test_a_pickle_gives_what_the_public_code_gives(tmp_path):
    tensors = state(KEYS["nvlabs_generator_32"])
    path = dump(tmp_path / "g.pkl", {"G_ema": (tensors, {}, {"c_dim": 0})})
    wanted, generator = figures("nvlabs_generator_32"), Generator.load(path)
    w = generator.mapping(given(21, (2, 512)))
    assert_agree(w, wanted["w"])
    assert_agree(generator.synthesis(w), wanted["image"])
    assert torch.equal(generator.w_mean, tensors["mapping.w_avg"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol, tmp_path):
    tensors = small_generator()
    path = dump(tmp_path / "g.pkl", {"G": (tensors, {}, {})}, protocol=protocol)
    found = read_checkpoint(path).networks["generator_raw"].tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_settings_come_from_layers_or_from_the_arguments(tmp_path):
    layers = {
        "synthesis.b4.conv1.": {"conv_clamp": 256, "activation": "lrelu"},
        "mapping.fc0.": {"bias_gain": np.float64(0.02)},
    }
    made = {"synthesis_kwargs": {"num_fp16_res": 2, "conv_clamp": 256, "channel_base": 1 << 14}}
    path = dump(tmp_path / "g.pkl", {"G_ema": (small_generator(), layers, made)})
    config = Generator.load(path).config
    assert (config.conv_clamp, config.half_resolutions) == (256.0, 2)
    assert (config.z_dim, config.w_dim, config.mapping_layers) == (24, 16, 3)
    assert config.mapping_lr_multiplier == 0.02
    assert (config.resolution, config.channels(16)) == (16, 16)
    made = {"conv_clamp": 64, "num_fp16_res": 3, "mapping_kwargs": {"lr_multiplier": 0.05}}
    path = dump(tmp_path / "g.pkl", {"G_ema": (small_generator(), {}, made)})
    config = Generator.load(path).config
    assert (config.conv_clamp, config.half_resolutions) == (64.0, 3)
    assert config.mapping_lr_multiplier == 0.05


def test_the_averaged_generator_is_preferred_and_each_network_is_reachable(tmp_path):
    average, raw = small_generator(), {n: t + 1 for n, t in small_generator().items()}
    raw |= {n: t for n, t in average.items() if n.endswith("resample_filter")}
    half = {name: tensor.half() for name, tensor in raw.items()}
    made = {"epilogue_kwargs": {"mbstd_group_size": 8}, "conv_clamp": 256}
    networks = {
        "G": (half, {}, {}),
        "D": (small_discriminator(), {}, made),
        "G_ema": (average, {}, {}),
    }
    path = dump(tmp_path / "all.pkl", networks)
    assert set(read_checkpoint(path).networks) == {"generator", "generator_raw", "discriminator"}
    assert torch.equal(Generator.load(path).const, average["synthesis.b4.const"])
    assert isinstance(load(path), Generator)
    config = Discriminator.load(path).config
    assert (config.stddev_group, config.conv_clamp) == (8, 256.0)
    raw_only = Generator.load(dump(tmp_path / "raw.pkl", {"G": networks["G"]}))
    assert raw_only.const.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "layers", "complaint"),
    [
        ({"mapping.embed.weight": torch.ones(16, 3)}, {}, "class-conditional"),
        ({"mapping.fc0.weight": torch.ones(16, 32)}, {}, "class-conditional"),
        ({"synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}, {}, "low-pass filter"),
        ({"synthesis.b8.conv0.weight": None}, {}, "layers are missing"),
        ({"mapping.fc1.bias": None}, {}, 'Missing .* "mapping.layers.1.bias"'),
        ({"synthesis.b16.conv1.weight": torch.ones(4, 8, 3, 3)}, {}, "size mismatch|do not follow"),
        ({"synthesis.b4.const": None, "synthesis.input.freqs": torch.ones(2)}, {}, "StyleGAN3"),
        ({}, {"synthesis.b8.": {"architecture": "orig"}}, "architecture"),
        ({}, {"synthesis.b8.conv0.": {"activation": "relu"}}, "leaky ReLU"),
    ],
)
def test_other_networks_under_these_names_are_refused(changes, layers, complaint, tmp_path):
    tensors = {n: t for n, t in (small_generator() | changes).items() if t is not None}
    path = dump(tmp_path / "g.pkl", {"G_ema": (tensors, layers, {})})
    with pytest.raises(BadFile, match=complaint):
        Generator.load(path)
