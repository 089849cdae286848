"""The whole model: public numbers, the cheap path, files, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from by_rule import KEYS, assert_agree, encoder_state, figures, given, prefixed, state

from xfer.checkpoints import read_checkpoint, write_checkpoint
from xfer.control import Control, ControlConfig
from xfer.devices import best_device
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, MotionEncoder, MotionEncoderConfig
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.mapper import Mapper, MapperConfig
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator, GeneratorConfig, z_from_seeds
from xfer.stylegan2.wavelet import WaveletGenerator
from xfer.weights import convert, load

SLIM = {"resolution": 32, "channels": (8, 12, 16), "blocks": (1, 1, 1), "reduction": 4}


def paper_file(path):
    """The paper's file around a 32 px generator of eight styles, every weight by rule."""
    linear = {"linear.weight": [4096, 512], "linear.bias": [4096]}
    motion = encoder_state(KEYS["reference_motion_encoder"] | linear)
    mapping = {"linear_relu.0.weight": [4096, 8192], "linear_relu.0.bias": [4096]}
    tensors = prefixed("encoder", motion) | encoder_state(prefixed("mapping_net", mapping))
    tensors |= prefixed("decoder", state(KEYS["rosinality_generator_32"]))
    torch.save({"state_dict": tensors, "opts": {"n_styles": 8}}, path)
    return path


@torch.no_grad()
def test_the_paper_s_model_gives_the_public_numbers_on_both_paths(tmp_path):
    model = Transfer.load(paper_file(tmp_path / "best_model.pt"))
    wanted = figures("transfer_32")
    driver, identity = 0.5 * given(4, (1, 3, 256, 256)), given(7, (1, 8, 512))
    code = model.motion_encoder(driver)
    assert_agree(code.flatten(), wanted["code"].flatten())
    assert_agree(model.mapper(identity, code).flatten(), wanted["latent"].flatten())
    image = wanted["image"]
    pooled = lambda x: F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(x, 256), 32)
    assert_agree(pooled(model(driver, identity)), image)
    assert_agree(pooled(model.transfer(driver, identity)), image)
    with pytest.raises(MissingFile, match="no identity encoder"):
        model.transfer(driver, torch.zeros(1, 3, 256, 256))


def small_model(kind="affine", w_dim=6, moved=0):
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(16, 6, w_dim, 1, channel_base=64, channel_max=8))
    sizes = {"n_styles": generator.n_styles, "w_dim": w_dim}
    mapper = Mapper.build(MapperConfig(kind, **sizes, rank=3, gates=2, motion_styles=moved))
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return Transfer(
        generator,
        MotionEncoder(MotionEncoderConfig(**SLIM, **sizes, bottleneck=5, pool=2)),
        mapper,
        IdentityEncoder(IdentityEncoderConfig(**SLIM, **sizes, rounds=2)),
    ).eval()


@pytest.mark.parametrize(
    ("kind", "moved"), [("affine", 0), ("low_rank", 0), ("low_rank", 3), ("conditioned", 0)]
)
@torch.no_grad()
def test_the_cheap_path_equals_the_plain_one_for_one_person_and_for_many(kind, moved):
    model = small_model(kind, moved=moved)
    driver, photo = torch.randn(3, 3, 40, 40), torch.randn(1, 3, 16, 16)
    identity, people = model.identify(photo), torch.randn(3, 6, 6)
    plain = model(driver, identity.expand(3, -1, -1))
    assert torch.equal(model.random_identity(3), model.random_identity(3))
    for given_identity in (photo, identity, model.person(identity)):
        assert_agree(model.transfer(driver, given_identity), plain)
    assert_agree(model.transfer(driver, people), model(driver, people))


@pytest.mark.parametrize("kind", ["affine", "low_rank", "conditioned"])
@torch.no_grad()
def test_a_saved_model_comes_back_whole_or_in_half_precision_and_its_parts_open_alone(
    kind, tmp_path
):
    model = small_model(kind)
    path = model.save(tmp_path / "small.safetensors", {"licence": "MIT"})
    driver, photo = torch.randn(2, 3, 32, 32), torch.randn(1, 3, 16, 16)
    meant, again = model.transfer(driver, photo), load(path)
    assert isinstance(again, Transfer)
    torch.testing.assert_close(again.transfer(driver, photo), meant)
    assert torch.equal(MotionEncoder.load(path)(driver), model.motion_encoder(driver))
    assert Generator.load(path).resolution == 16
    encoder = load(model.identity_encoder.save(tmp_path / "i.safetensors"))
    assert isinstance(encoder, IdentityEncoder) and not encoder.training
    half = convert(path, tmp_path / "h.safetensors", half=True)
    assert half.stat().st_size < 0.7 * path.stat().st_size
    error = (load(half).transfer(driver, photo) - meant).abs().max() / meant.abs().max()
    assert error < 0.01


def test_the_last_of_several_files_gives_a_network(tmp_path):
    model, other = small_model(), small_model()
    other.mapper.weight.data.add_(1)
    files = [model.save(tmp_path / "m.safetensors"), other.mapper.save(tmp_path / "n.safetensors")]
    joined = load(convert(files[0], tmp_path / "j.safetensors", (files[1],)))
    assert torch.equal(joined.mapper.weight, other.mapper.weight)
    one, same = (dict(x.motion_encoder.named_parameters()) for x in (model, joined))
    assert all(torch.equal(value, same[name]) for name, value in one.items())


def test_a_network_a_name_and_a_device_that_are_not_known_are_named(tmp_path):
    path = write_checkpoint(tmp_path / "x.safetensors", {"glasses": ({}, {"a": torch.ones(1)})})
    with pytest.raises(BadFile, match="holds only glasses"):
        load(path)
    with pytest.raises(MissingFile, match=r"no checkpoint has that name; names: .*arcface"):
        load("nobody")
    for name in ("cuda:99", "meta", "gpu"):
        with pytest.raises(BadValue, match=f"^[^\\n]*{name}[^\\n]*$"):
            best_device(name)


def test_parts_of_different_sizes_are_refused(tmp_path):
    model, other = small_model(), small_model(w_dim=7)
    with pytest.raises(BadValue, match=r"takes 6 styles of 6.*mapper has 6 of 7"):
        Transfer(model.generator, model.motion_encoder, other.mapper)
    with pytest.raises(BadValue, match=r"takes 6 styles of 6.*identity has 8 of 6"):
        model.transfer(torch.zeros(1, 3, 32, 32), torch.zeros(1, 8, 6))
    with pytest.raises(BadValue, match=r"one for each of 3 drivers; got 2"):
        model.transfer(torch.zeros(3, 3, 32, 32), torch.zeros(2, 6, 6))


@torch.no_grad()
def test_a_model_of_an_asset_names_its_generator_and_does_not_contain_it(tmp_path, monkeypatch):
    torch.manual_seed(0)
    generator, model = WaveletGenerator((8, 8, 8), 6).eval(), small_model("low_rank")
    model = Transfer(generator, model.motion_encoder, model.mapper, model.identity_encoder).eval()
    path = model.save(tmp_path / "m.safetensors")
    checkpoint = read_checkpoint(path)
    assert checkpoint.networks.keys() == {"motion_encoder", "mapper", "identity_encoder"}
    facts = checkpoint.facts["generator"]
    assert facts["asset"] == "ffhq" and len(facts["sha256"]) == 4

    monkeypatch.setattr(Generator, "load", lambda name: {"ffhq": generator}[name])
    again = Transfer.load(path)
    identity = again.random_identity(3, psi=0.5)
    w = generator.mapping(z_from_seeds([3], 6))
    torch.testing.assert_close(identity, w.lerp(generator.w_mean, 0.5)[:, None].expand(1, 6, 6))
    driver = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.transfer(driver, identity), model.transfer(driver, identity))

    write_checkpoint(path, {r: (n.config, n.tensors) for r, n in checkpoint.networks.items()},
                     {"generator": facts | {"sha256": {}}})  # fmt: skip
    with pytest.raises(BadFile, match="edition of the generator ffhq"):
        Transfer.load(path)
    with pytest.raises(BadFile, match="made for the generator ffhq and contains another"):
        Transfer.load(small_model().save(path, {"generator": facts}))


def test_a_model_moves_people_by_encoder_and_mapper_or_by_control(tmp_path):
    model = small_model()
    with pytest.raises(BadFile, match="holds no motion encoder; it holds: generator"):
        Transfer.load(model.generator.save(tmp_path / "g.safetensors"))
    for parts in ({}, {"mapper": model.mapper}, {"motion_encoder": model.motion_encoder}):
        with pytest.raises(BadValue, match="a motion encoder and a mapper, or a control"):
            Transfer(model.generator, **parts)
    control = Control(ControlConfig(n_styles=6, w_dim=6, n_motion_styles=3))
    control.directions.data.normal_()
    path = Transfer(model.generator, control=control).save(tmp_path / "m.safetensors")
    explicit = Transfer.load(path)
    assert torch.equal(explicit.control.directions, control.directions)
    with pytest.raises(BadValue, match="no motion encoder"):
        explicit.transfer(torch.zeros(1, 3, 32, 32), torch.zeros(1, 6, 6))


IDENTITY, MOTION = given(1, (3, 5, 6)), given(2, (3, 5, 6))


@pytest.mark.parametrize(
    ("kind", "moved", "same"),
    [("affine", 0, True), ("low_rank", 0, True), ("low_rank", 3, True), ("conditioned", 0, False)],
)
@torch.no_grad()
def test_mappers_start_unmoved_and_only_conditioned_motion_depends_on_the_person(kind, moved, same):
    mapper = Mapper.build(MapperConfig(kind, 5, 6, rank=4, gates=3, motion_styles=moved))
    torch.testing.assert_close(mapper(IDENTITY, MOTION), IDENTITY)
    torch.manual_seed(1)
    for parameter in mapper.parameters():
        parameter.normal_(std=0.3)
    first, second = (mapper(i.expand(3, -1, -1), MOTION) for i in IDENTITY[:2])
    assert torch.allclose(first - first[:1], second - second[:1], atol=1e-4) is same
    still = (first - first[:1]).abs().amax((0, 2)) == 0
    assert still.tolist() == [bool(moved) and style >= moved for style in range(5)]


@torch.no_grad()
def test_the_paper_s_start_is_its_constants():
    mapper = Mapper.build(MapperConfig("affine", 5, 6, init="paper"))
    expected = 1e-5 * (IDENTITY.sum((1, 2)) + MOTION.sum((1, 2))) + 1e-3
    torch.testing.assert_close(mapper(IDENTITY, MOTION), expected.view(3, 1, 1).expand(3, 5, 6))
    with pytest.raises(BadValue, match="or paper if affine"):
        MapperConfig("conditioned", init="paper")


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
    quarter = lambda n: n // 4 if n % 4 == 0 else n
    shapes = KEYS["restyle_psp_encoder"].items()
    state = encoder_state({name: [quarter(n) for n in shape] for name, shape in shapes})
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


def test_an_encoder_of_another_kind_is_refused_by_name(tmp_path):
    for kind in ("GradualStyleEncoder", "Encoder4Editing"):
        with pytest.raises(BadFile, match=f"an encoder of the kind {kind}; xfer reads"):
            IdentityEncoder.load(restyle_file(tmp_path / "x.pt", encoder_type=kind))


@torch.no_grad()
def test_an_inversion_starts_at_the_mean_and_adds_one_offset_a_round():
    model = small_model()
    generator, encoder = model.generator, model.identity_encoder
    generator.w_mean.normal_()
    image = torch.randn(2, 3, 16, 16)
    mean = generator.to_w_plus(generator.w_mean[None]).expand(2, -1, -1)
    first = mean + encoder(image, generator.synthesis(mean))
    second = first + encoder(image, generator.synthesis(first))
    torch.testing.assert_close(encoder.invert(image, generator, rounds=1), first)
    torch.testing.assert_close(encoder.invert(image, generator), second)
    with pytest.raises(BadValue, match="at least one round; got 0"):
        encoder.invert(image, generator, rounds=0)
