"""Translation between layouts: there and back, and what the files leave unsaid."""

import pytest
import torch
from by_rule import given, rosinality_discriminator, rosinality_generator, state

from xfer.errors import BadFile
from xfer.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.weights import convert

SIZES = [(8, 2, 24, 1, 16), (64, 1, 512, 8, 512), (128, 2, 40, 3, 128)]
"""Resolution, channel multiplier, styles, mapping layers, most channels."""


def rosinality_file(path, shapes, **beside):
    torch.save({"g_ema": state(shapes)} | beside, path)
    return path


@pytest.mark.parametrize(("size", "multiplier", "styles", "mapping", "top"), SIZES)
def test_sizes_are_read_off_the_tensors(size, multiplier, styles, mapping, top, tmp_path):
    shapes = rosinality_generator(size, multiplier, styles, mapping, top)
    config = Generator.load(rosinality_file(tmp_path / "g.pt", shapes)).config
    assert (config.resolution, config.z_dim, config.w_dim) == (size, styles, styles)
    assert config.mapping_layers == mapping
    for r in (4 << i for i in range(size.bit_length() - 2)):
        assert config.channels(r) == min(top, 16384 * multiplier // r)


def test_a_generator_survives_the_way_there_and_back(tmp_path):
    torch.manual_seed(0)
    config = GeneratorConfig(32, 12, 10, 2, 0.02, channel_base=256, channel_max=12)
    ours = Generator(config).requires_grad_(False)
    for layer in ours.layers:
        layer.noise_strength.fill_(0.3)
    ours.w_mean.normal_()
    ours.save(tmp_path / "g.safetensors")
    there = convert(tmp_path / "g.safetensors", "rosinality", tmp_path / "g.pt")
    tensors = torch.load(there, weights_only=True)["g_ema"]
    assert tensors["conv1.conv.weight"].shape == (1, 12, 12, 3, 3)
    assert tensors["to_rgbs.2.bias"].shape == (1, 3, 1, 1)
    back = Generator.load(convert(there, "xfer"))
    assert torch.equal(back.w_mean, ours.w_mean)
    z = given(1, (2, 12))
    torch.testing.assert_close(back(z, psi=0.7), ours(z, psi=0.7), atol=1e-5, rtol=1e-5)


def test_what_is_written_has_exactly_the_names_and_shapes_of_the_layout(tmp_path):
    generator = Generator(GeneratorConfig(16, 12, 12, 2, channel_base=16 * 6, channel_max=6))
    critic = Discriminator(DiscriminatorConfig(16, channel_base=16 * 6, channel_max=6))
    for network, key, shapes in (
        (generator, "g_ema", rosinality_generator(16, styles=12, mapping=2, top=6)),
        (critic, "d", rosinality_discriminator(16, top=6)),
    ):
        network.save(tmp_path / f"{key}.safetensors")
        path = convert(tmp_path / f"{key}.safetensors", "rosinality")
        written = torch.load(path, weights_only=True)[key]
        assert {name: list(tensor.shape) for name, tensor in written.items()} == shapes
        by_rule = state(shapes)
        kernels = [name for name in shapes if name.endswith("kernel")]
        assert kernels and all(torch.equal(written[name], by_rule[name]) for name in kernels)


def test_a_discriminator_survives_the_way_there_and_back(tmp_path):
    torch.save({"d": state(rosinality_discriminator(32, top=8))}, tmp_path / "d.pt")
    first = Discriminator.load(tmp_path / "d.pt")
    back = Discriminator.load(convert(convert(tmp_path / "d.pt", "xfer"), "rosinality"))
    image = given(3, (4, 3, 32, 32))
    torch.testing.assert_close(back(image), first(image))


def test_the_mean_comes_from_the_file_in_either_shape_or_is_estimated(tmp_path):
    shapes = rosinality_generator(16, styles=12, mapping=2, top=6)
    mean = given(5, (12,))
    for beside in ({"latent_avg": mean}, {"latent_avg": mean.repeat(6, 1)}):
        generator = Generator.load(rosinality_file(tmp_path / "g.pt", shapes, **beside))
        torch.testing.assert_close(generator.w_mean, mean)
    generator = Generator.load(rosinality_file(tmp_path / "g.pt", shapes))
    many = generator.mapping(given(6, (20_000, 12))).mean(0)
    torch.testing.assert_close(generator.w_mean, many, atol=0.05, rtol=0)


def test_early_files_without_noise_pictures_get_the_same_ones_every_time(tmp_path):
    shapes = rosinality_generator(16, styles=12, mapping=2, top=6)
    bare = {name: shape for name, shape in shapes.items() if not name.startswith("noises")}
    first, second = (Generator.load(rosinality_file(tmp_path / "g.pt", bare)) for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert torch.equal(a.noise, b.noise) and 0.5 < a.noise.std() < 1.5
    some = {name: shape for name, shape in shapes.items() if name != "noises.noise_2"}
    with pytest.raises(BadFile, match=r"missing: noises\.noise_2"):
        Generator.load(rosinality_file(tmp_path / "g.pt", some))


def test_widths_that_follow_no_rule_are_named(tmp_path):
    shapes = rosinality_generator(32, styles=12, mapping=1, top=8)
    for name, shape in shapes.items():  # wider at 16 px than below
        if name.startswith(("convs.2.", "convs.3.", "to_rgbs.1.")):
            shapes[name] = [n * 2 if n == 8 else n for n in shape]
    shapes["convs.2.conv.weight"][2] = 8
    shapes["convs.4.conv.weight"][2] = 16
    with pytest.raises(BadFile, match="channels at 4 px do not follow"):
        Generator.load(rosinality_file(tmp_path / "g.pt", shapes))
