"""Training of the inverter on known features, transfer on clips of blots, StyleGAN2 at 8 px."""

import dataclasses
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_world import N_STYLES, W_DIM, Blots, Points, Pools, write_data
from test_loop import assert_resumed_equals_straight

from xfer.control import Control
from xfer.data.clips import Clips, write_clip, write_index
from xfer.encoders import IdentityEncoder, MotionEncoder, MotionEncoderConfig
from xfer.errors import BadValue
from xfer.landmarker import FACTORS
from xfer.mapper import Mapper, MapperConfig
from xfer.model import Transfer
from xfer.perceptual import FaceFeatures
from xfer.runs import read_stats
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training import train_inverter
from xfer.training.augment import degrade
from xfer.training.config import GeneratorTraining, TransferTraining
from xfer.training.loop import train
from xfer.training.train_generator import FolderImages, GeneratorTask, train_generator
from xfer.training.train_transfer import TransferTask, start_from

SIZES = {"n_styles": N_STYLES, "w_dim": W_DIM}
BODY = {"resolution": 16, "channels": (8, 8), "blocks": (1, 1), "reduction": 4}
BUDGET = {"batch": 4, "kimg": 0.04, "log_kimg": 0.02, "save_kimg": 0.02, "latent_kimg": 0.02}
BUDGET |= {"workers": 0}  # a forked child would share the pipe of a distributed test run
TRANSFER = TransferTraining(
    encoder=MotionEncoderConfig(**BODY, **SIZES, bottleneck=4, pool=2),
    mapper=MapperConfig("conditioned", **SIZES, rank=12, gates=2),
    contrastive=0.1, readings=1.0, factors=0.1, surroundings=1.0, explicit=0.5, preview=32,
    **BUDGET,
)  # fmt: skip
MEASURES = {"perceptual": Pools(), "identity": Pools(), "landmarker": Points()}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("clips"))


def transfer(clips, **settings):
    return TransferTask(dataclasses.replace(TRANSFER, **settings), [clips], Blots(), MEASURES)


def test_an_inverter_finds_codes_that_features_tell(tmp_path, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 3, generator=draw) @ torch.randn(3, 40, generator=draw)
    w_plus, w_mean = codes.view(300, 2, 20) + 5, torch.full((20,), 5.0)
    features = 7 + codes @ torch.randn(40, FaceFeatures.size, generator=draw)
    encoder, facts = train_inverter.fit_encoder(features, w_plus, w_mean, rank=3)
    assert facts["left_unexplained"] < 0.02 and facts["ridge"] == min(train_inverter.RIDGES)
    encoder = IdentityEncoder.load(encoder.save(tmp_path / "e.safetensors", dtype=torch.float16))
    eyes = types.SimpleNamespace(to=lambda device: lambda image: features[:4])
    monkeypatch.setattr("xfer.encoders._face_features", lambda: eyes)
    generator = types.SimpleNamespace(w_mean=w_mean, synthesis=print)
    found = encoder.invert(torch.zeros(4, 3, 256, 256), generator)
    assert (found - w_plus[:4]).abs().mean() < 0.15 * codes.abs().mean()


def test_sampled_codes_lie_around_w_and_their_features_are_kept(tmp_path, monkeypatch, needs):
    needs("ffhq", "efficientnet-lite0", "face-landmarker")
    generator = Generator.load("ffhq").requires_grad_(False)
    code = train_inverter.sample_code(generator, 0, 7)[0]
    assert torch.equal(code, train_inverter.sample_code(generator, 0, 7)[0])
    apart = (code - code.mean(0)).square().mean((1,))
    assert torch.equal(code[12:], code[11:12].expand(4, -1)) and apart.min() > 0
    monkeypatch.setattr(train_inverter, "BLOCK", 2)
    monkeypatch.setattr("xfer.inversion.cache_folder", lambda: tmp_path)
    first = train_inverter.sample_features(generator, 3, 0)
    assert first[0].shape == (3, FaceFeatures.size) and first[1].shape == (3, 16, 512)
    next(tmp_path.glob("*/*")).unlink()
    again = train_inverter.sample_features(generator, 3, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_one_batch_again_and_again_is_learned(clips, tmp_path):
    task = transfer(clips, kimg=0.24, latent_kimg=1.0, learning_rate=3e-2, log_kimg=0.04)
    batch = task.batch(0)
    task.batch = lambda step: batch
    train(task, tmp_path)
    losses = [line["latent"] for line in read_stats(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_transfer_has_all_terms_once_its_first_phase_is_over(clips, tmp_path):
    weights = train(transfer(clips), tmp_path)
    first, last = read_stats(tmp_path)
    assert "pixels" not in first
    terms = {"latent", "drift", "pixels", "perceptual", "perceptual_crop", "identity"}
    assert terms | {"contrastive", "factors", "readings", "surroundings"} <= last.keys()
    assert isinstance(MotionEncoder.load(weights), MotionEncoder)
    assert isinstance(Mapper.load(weights), Mapper)


def test_a_mapper_that_starts_from_a_control_moves_by_its_units():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    n, w_dim = len(FACTORS), 16
    control = Control.from_directions(0.1 * draw(n, 2, w_dim), torch.eye(w_dim), n_styles=3)
    mapper = Mapper.build(MapperConfig("conditioned", 3, w_dim, rank=n + 1, motion_styles=2))
    w = draw(400, w_dim)
    codes, readings = w[:, None].expand(-1, 3, -1), 5 + w @ draw(w_dim, n)
    centre = start_from(mapper, control, codes, readings)
    units = 0.1 * draw(400, n)  # short ones, which no bound shortens
    moved = control.move(codes, units)
    assert torch.allclose(mapper.moved(codes, F.pad(units, (0, 1))), moved, atol=1e-5)
    mapper.strength.data.normal_(0, 0.1)
    own = Control.from_mapper(mapper, torch.eye(w_dim), control.config.bound)
    learned = mapper.moved(codes, F.pad(units, (0, 1)))
    assert torch.allclose(own.move(codes, units), learned, atol=1e-5)
    assert not torch.allclose(own.move(codes, units), moved, atol=1e-3)
    read = mapper.own_motion(moved)[:, :n]
    assert torch.allclose(read, readings + units - centre, atol=0.05)


def test_mappers_without_coordinates_and_frames_without_codes_are_refused(clips, tmp_path):
    for mapper in (MapperConfig("affine", **SIZES), MapperConfig("low_rank", **SIZES, rank=10)):
        with pytest.raises(BadValue, match="low_rank"):
            transfer(clips, mapper=mapper)
    with pytest.raises(BadValue, match="motion encoder of these sizes"):
        transfer(clips, keep_encoder=True)
    images, arrays = [np.zeros((32, 32, 3), np.uint8)] * 3, {"factors": np.zeros((3, 11))}
    for person in "abcde":
        write_clip(tmp_path, person, person, images, "film", arrays=arrays)
    clips = write_index(tmp_path)
    with pytest.raises(BadValue, match="a code for every frame"):
        transfer(clips).batch(0)


def test_weights_hold_an_own_generator_and_need_its_data(clips, tmp_path, monkeypatch):
    own, sizes = Generator(GeneratorConfig(8, W_DIM, W_DIM, 1, channel_max=8)), {"n_styles": 4}
    codes, images = np.ones((3, 4, W_DIM), np.float32), [np.zeros((32, 32, 3), np.uint8)] * 3
    arrays = {"factors": np.zeros((3, len(FACTORS)))}
    for person in "abcdefgh":
        write_clip(tmp_path, person, person, images, "generated", codes, arrays)
    parts = {n: dataclasses.replace(getattr(TRANSFER, n), **sizes) for n in ("encoder", "mapper")}
    settings = dataclasses.replace(TRANSFER, **parts)
    task = TransferTask(settings, [write_index(tmp_path)], own, MEASURES)
    model = Transfer.load(train(task, tmp_path / "run"))
    w_plus = torch.from_numpy(codes)
    assert torch.equal(model.generator.synthesis(w_plus), own.synthesis(w_plus))
    with pytest.raises(BadValue, match=r"takes 4 styles of 4.* has 2 of 4"):
        TransferTask(settings, [clips], own, MEASURES)
    monkeypatch.setattr(Clips, "generator", "other.safetensors")
    with pytest.raises(BadValue, match=r"generated by other.safetensors.*got ffhq"):
        transfer(clips)


def test_damage_depends_on_the_seed_alone_and_keeps_the_motif():
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = 200
    damaged = [degrade(image, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(damaged[0], damaged[1]) and not np.array_equal(damaged[0], damaged[2])
    inside, outside = np.zeros((64, 64), bool), np.ones((64, 64), bool)
    inside[22:42, 22:42], outside[8:56, 8:56] = True, False
    for seed in range(40):
        one = degrade(image, np.random.default_rng(seed), occlude=0.0)
        assert one.shape == image.shape and one.dtype == np.uint8
        assert one[inside].mean() > one[outside].mean() + 50


TINY = GeneratorTraining(
    generator=GeneratorConfig(
        resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
    ),
    batch=4, kimg=0.024, log_kimg=0.008, save_kimg=0.008, r1_gamma=0.1,
    r1_interval=2, path_interval=2, ema_kimg=0.05,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Six red images, of other sizes than the training's."""
    (tmp_path / "images").mkdir()
    for i in range(6):
        image = np.full((16, 20 + i, 3), (200, 10 * i, 0), np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


def test_an_epoch_shows_every_image_once_square_and_of_one_size(folder):
    task = GeneratorTask(TINY, FolderImages(folder, 8))
    greens = torch.cat([task.batch(step)[:, 1, 0, 0] for step in range(3)])
    colours = ((greens + 1) * 127.5).round().tolist()
    assert [sorted(colours[:6]), sorted(colours[6:])] == [[0, 10, 20, 30, 40, 50]] * 2
    assert colours[:6] != colours[6:]
    images = FolderImages(folder, 8)
    assert len(images) == 6
    assert images[3].shape == (8, 8, 3) and (images[3] == (200, 30, 0)).all()
    (folder / "empty").mkdir()
    with pytest.raises(BadValue, match="no images"):
        FolderImages(folder / "empty", 8)


def test_training_reports_all_terms_and_its_weights_open(folder, tmp_path):
    weights = train_generator(TINY, folder, tmp_path / "run", "cpu")
    record = read_stats(tmp_path / "run")[-1]
    assert {"discriminator", "generator", "real", "fake", "r1", "path_length"} <= record.keys()
    generator = Generator.load(weights)
    image = generator.synthesis(generator.to_w_plus(generator.mapping(torch.randn(2, 8))))
    assert image.shape == (2, 3, 8, 8) and bool(image.isfinite().all())
    assert bool((generator.w_mean != 0).any())


def test_the_generator_learns_the_colour(folder, tmp_path):
    config = dataclasses.replace(TINY, kimg=0.32, learning_rate=1e-2, log_kimg=1.0, save_kimg=1.0)
    task = GeneratorTask(config, FolderImages(folder, 8))
    red_and_blue = lambda: task.generate(0, "test")[0].mean((0, 2, 3))[::2].detach()
    before = red_and_blue()
    train(task, tmp_path / "run")
    change = red_and_blue() - before
    assert change[0] > 0.2 and change[1] < -0.2


def test_a_resumed_training_equals_a_straight_one_bit_for_bit(clips, folder, tmp_path):
    make_transfer = lambda kimg: transfer(clips, kimg=kimg)
    assert_resumed_equals_straight(make_transfer, tmp_path / "transfer", 0.04, 0.012)
    images = FolderImages(folder, 8)
    make_generator = lambda kimg: GeneratorTask(dataclasses.replace(TINY, kimg=kimg), images)
    assert_resumed_equals_straight(make_generator, tmp_path / "generator", 0.024, 0.012)
