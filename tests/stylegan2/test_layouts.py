"""Public layouts: the public numbers, there and back, and what files leave unsaid."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from by_rule import KEYS, assert_agree, figures, given, small_rosinality, state
from nvlabs_pickles import dump, small_generator

from xfer.checkpoints import read_checkpoint
from xfer.errors import BadFile
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator
from xfer.weights import convert, load

SMALL = small_rosinality()


def rosinality_file(path, tensors=SMALL, **beside):
    torch.save({"g_ema": tensors} | beside, path)
    return path


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
    bare = {name: tensor for name, tensor in SMALL.items() if not name.startswith("noises")}
    first, second = (Generator.load(rosinality_file(tmp_path / "g.pt", bare)) for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert torch.equal(a.noise, b.noise) and 0.5 < a.noise.std() < 1.5
    some = {name: tensor for name, tensor in SMALL.items() if name != "noises.noise_2"}
    with pytest.raises(BadFile, match=r'Missing .* "layers\.2\.noise"'):
        Generator.load(rosinality_file(tmp_path / "g.pt", some))


def test_widths_that_follow_no_rule_and_class_conditional_generators_are_named(tmp_path):
    wide = small_rosinality(channels=12)
    wider = {n: wide[n] for n in SMALL if n.startswith(("convs.0.", "convs.1.", "to_rgbs.0."))}
    wider["convs.0.conv.weight"] = wide["convs.0.conv.weight"][:, :, :6]
    wider["convs.2.conv.weight"] = wide["convs.2.conv.weight"][:, :6]
    path = rosinality_file(tmp_path / "g.pt", SMALL | wider)
    with pytest.raises(BadFile, match="channels at 4 px do not follow"):
        Generator.load(path)
    path = rosinality_file(tmp_path / "g.pt", SMALL | {"style.1.weight": torch.ones(12, 24)})
    with pytest.raises(BadFile, match=r"class-conditional.*takes 24 numbers and gives 12"):
        Generator.load(path)


@pytest.mark.parametrize("how", [*({"protocol": n} for n in range(2, 6)), {"save": torch.save}])
def test_every_pickle_protocol_and_a_snapshot_inside_a_torch_file_are_read(how, tmp_path):
    tensors = small_generator()
    path = dump(tmp_path / "g.pkl", {"G": (tensors, {}, {})}, **how)
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
    path = dump(tmp_path / "g.pt", {"G_ema": (small_generator(), {}, made)}, save=torch.save)
    config = Generator.load(path).config
    assert (config.conv_clamp, config.half_resolutions) == (64.0, 3)
    assert config.mapping_lr_multiplier == 0.05


def test_the_averaged_generator_is_preferred_and_each_network_is_reachable(tmp_path):
    average, raw = small_generator(), {n: t + 1 for n, t in small_generator().items()}
    raw |= {n: t for n, t in average.items() if n.endswith("resample_filter")}
    half = {name: tensor.half() for name, tensor in raw.items()}
    made = {"epilogue_kwargs": {"mbstd_group_size": 8}, "conv_clamp": 256}
    narrow = lambda n: {512: 8, 513: 9, 8192: 128}.get(n, n)
    shapes = KEYS["nvlabs_discriminator_32"].items()
    other = state({name: [narrow(n) for n in shape] for name, shape in shapes})
    networks = {"G": (half, {}, {}), "D": (other, {}, made), "G_ema": (average, {}, {})}
    path = dump(tmp_path / "all.pkl", networks)
    assert set(read_checkpoint(path).networks) == {"generator", "generator_raw", "discriminator"}
    assert torch.equal(Generator.load(path).const, average["synthesis.b4.const"])
    assert isinstance(load(path), Generator)
    config = Discriminator.load(path).config
    assert (config.stddev_group, config.conv_clamp) == (8, 256.0)
    raw_only = Generator.load(dump(tmp_path / "raw.pkl", {"G": networks["G"]}))
    assert raw_only.const.dtype == torch.float32


@pytest.mark.parametrize("changes, layers, complaint", [
    ({"mapping.embed.weight": torch.ones(16, 3)}, {}, "class-conditional"),
    ({"mapping.fc0.weight": torch.ones(16, 32)}, {}, "class-conditional"),
    ({"synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}, {}, "low-pass filter"),
    ({"synthesis.b8.conv0.weight": None}, {}, "layers are missing"),
    ({"mapping.fc1.bias": None}, {}, 'Missing .* "mapping.layers.1.bias"'),
    ({"synthesis.b16.conv1.weight": torch.ones(4, 8, 3, 3)}, {}, "size mismatch|do not follow"),
    ({"synthesis.b4.const": None, "synthesis.input.freqs": torch.ones(2)}, {}, "StyleGAN3"),
    ({}, {"synthesis.b8.": {"architecture": "orig"}}, "architecture"),
    ({}, {"synthesis.b8.conv0.": {"activation": "relu"}}, "leaky ReLU"),
])  # fmt: skip
def test_other_networks_under_these_names_are_refused(changes, layers, complaint, tmp_path):
    tensors = {n: t for n, t in (small_generator() | changes).items() if t is not None}
    path = dump(tmp_path / "g.pkl", {"G_ema": (tensors, layers, {})})
    with pytest.raises(BadFile, match=complaint):
        Generator.load(path)


@pytest.mark.parametrize(
    ("layout", "size"), [*product(["rosinality", "nvlabs"], [32, 256]), ("rosinality", 1024)]
)
@torch.no_grad()
def test_a_generator_draws_what_the_public_code_draws(layout, size, tmp_path):
    wanted = figures(f"{layout}_generator_{size}".removeprefix("rosinality_"))
    tensors = state(KEYS[f"{layout}_generator_{size}"])
    mean = tensors.get("mapping.w_avg", wanted["w"].mean(0))
    if layout == "nvlabs":
        path = dump(tmp_path / "g.pkl", {"G_ema": (tensors, {}, {"c_dim": 0})})
    else:
        path = rosinality_file(tmp_path / "g.pt", tensors, latent_avg=mean)
    generator = Generator.load(path)
    assert generator.resolution == size and generator.z_dim == 512
    assert torch.equal(generator.w_mean, mean)
    w = generator.mapping(given(1 if layout == "rosinality" else 21, (2, 512)))
    assert_agree(w, wanted["w"])
    pool = lambda image: F.adaptive_avg_pool2d(image, 32)
    image = generator.synthesis(w)
    assert_agree(pool(image), wanted["image"])
    assert_agree(image[:, :, :8, :8], wanted["corner"])
    if size == 1024:  # the rest is the same code, and slow at this size
        return
    truncated = generator.truncate(generator.to_w_plus(w), 0.7)
    assert_agree(pool(generator.synthesis(truncated)), wanted["image_truncated"])
    if layout == "nvlabs":  # again the same code
        return
    w_plus = given(2, (1, generator.n_styles, 512))
    assert_agree(pool(generator.synthesis(w_plus)), wanted["image_wplus"])
    first, second = generator.to_w_plus(w).split(1)
    mixed = generator.synthesis(generator.mix(first, second, at=3))
    assert_agree(pool(mixed), wanted["image_mixed_at_3"])


@pytest.mark.parametrize("size", [32, 256])
@torch.no_grad()
def test_a_rosinality_discriminator_scores_as_the_public_code_scores(size, tmp_path):
    torch.save({"d": state(KEYS[f"rosinality_discriminator_{size}"])}, tmp_path / "d.pt")
    discriminator = Discriminator.load(tmp_path / "d.pt")
    score = discriminator(0.5 * given(3, (4, 3, size, size)))
    assert_agree(score, figures(f"discriminator_{size}")["score"])
