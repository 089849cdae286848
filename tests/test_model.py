"""The whole model: public numbers, the cheap path, files, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from by_rule import (
    KEYS,
    assert_agree,
    encoder_state,
    figures,
    given,
    prefixed,
    rosinality_generator,
    state,
)

from xfer.checkpoints import read_checkpoint, write_checkpoint
from xfer.control import Control, ControlConfig
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, MotionEncoder, MotionEncoderConfig
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.mapper import Mapper, MapperConfig
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator, GeneratorConfig, z_from_seeds
from xfer.stylegan2.wavelet import WaveletGenerator

SLIM = {"resolution": 32, "channels": (8, 12, 16), "blocks": (1, 1, 1), "reduction": 4}


def paper_file(path):
    """The paper's file around a 32 px generator of eight styles, every weight by rule."""
    motion = KEYS["reference_motion_encoder"] | {
        "linear.weight": [4096, 512],
        "linear.bias": [4096],
    }
    mapping = {"linear_relu.0.weight": [4096, 8192], "linear_relu.0.bias": [4096]}
    named = prefixed("mapping_net", mapping)
    tensors = (
        prefixed("encoder", encoder_state(motion))
        | encoder_state(named)
        | prefixed("decoder", state(rosinality_generator(32)))
    )
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


def small_model(kind="affine", w_dim=6):
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(16, 6, w_dim, 1, channel_base=64, channel_max=8))
    sizes = {"n_styles": generator.n_styles, "w_dim": w_dim}
    mapper = Mapper.build(MapperConfig(kind, **sizes, rank=3, gates=2))
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return Transfer(
        generator,
        MotionEncoder(MotionEncoderConfig(**SLIM, **sizes, bottleneck=5, pool=2)),
        mapper,
        IdentityEncoder(IdentityEncoderConfig(**SLIM, **sizes, rounds=2)),
    ).eval()


@pytest.mark.parametrize("kind", ["affine", "low_rank", "conditioned"])
@torch.no_grad()
def test_the_cheap_path_equals_the_plain_one_for_one_person_and_for_many(kind):
    model = small_model(kind)
    driver, photo = torch.randn(3, 3, 40, 40), torch.randn(1, 3, 16, 16)
    identity, people = model.identify(photo), torch.randn(3, 6, 6)
    plain = model(driver, identity.expand(3, -1, -1))
    for given_identity in (photo, identity, model.person(identity)):
        assert_agree(model.transfer(driver, given_identity), plain)
    assert_agree(model.transfer(driver, people), model(driver, people))


@torch.no_grad()
def test_a_seed_is_a_person_who_went_through_the_identity_encoder():
    model = small_model()
    assert torch.equal(model.random_identity(3), model.random_identity(3))
    assert not torch.equal(model.random_identity(3), model.random_identity(4))


@pytest.mark.parametrize("kind", ["affine", "low_rank", "conditioned"])
@torch.no_grad()
def test_a_saved_model_comes_back_whole_and_its_parts_open_alone(kind, tmp_path):
    model = small_model(kind)
    path = model.save(tmp_path / "small.safetensors", {"licence": "MIT"})
    driver, photo = torch.randn(2, 3, 32, 32), torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(
        Transfer.load(path).transfer(driver, photo), model.transfer(driver, photo)
    )
    assert torch.equal(MotionEncoder.load(path)(driver), model.motion_encoder(driver))
    assert Generator.load(path).resolution == 16


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


def test_a_model_moves_people_by_encoder_and_mapper_or_by_control(tmp_path):
    model = small_model()
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


def test_a_file_without_a_mapper_is_refused(tmp_path):
    path = small_model().generator.save(tmp_path / "g.safetensors")
    with pytest.raises(BadFile, match="holds no motion encoder; it holds: generator"):
        Transfer.load(path)
