"""The warm start learns to redraw pictures, resumes exactly, and its generator starts a game."""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from two_processes import Double, assert_two_equal_one

from xfer.errors import BadValue
from xfer.instruments import FaceRecogniser, FactorReader, Instruments
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.instrument_config import READER_PRESETS, RECOGNISER_PRESETS
from xfer.training.redrawing import divergence
from xfer.training.train_autoencoder import (
    AUTOENCODER_PRESETS,
    AutoencoderTrainer,
    train_autoencoder,
)
from xfer.training.train_generator import GeneratorTrainer, train_generator


@pytest.fixture(scope="module")
def instruments():
    torch.manual_seed(0)
    reader = FactorReader(READER_PRESETS["nano"].reader)
    return Instruments(reader, FaceRecogniser(RECOGNISER_PRESETS["nano"].recogniser), "loss", {})


@pytest.fixture(scope="module")
def frames():
    """Plain pictures of random colours."""
    colours = np.random.default_rng(0).integers(0, 255, (32, 1, 1, 3), dtype=np.uint8)
    return FrameArray(np.tile(colours, (1, 32, 32, 1)))


def tiny(steps, **changes):
    kimg = 8 / 1000
    return config.preset(
        AUTOENCODER_PRESETS, "nano", batch=8, total_kimg=steps * kimg, tick_kimg=kimg,
        save_kimg=2 * kimg, **changes,
        **{"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8},
    )  # fmt: skip


def test_the_divergence_of_known_normals():
    zero = torch.zeros(3, 4)
    assert divergence(zero, zero) == 0
    assert divergence(zero + 1, zero) == pytest.approx(2.0)  # half a squared mean in each of four
    assert divergence(zero, zero + np.log(4)) == pytest.approx(4 * 0.5 * (4 - 1 - np.log(4)))


def test_the_weight_of_the_divergence_grows_to_its_own(instruments):
    trainer = AutoencoderTrainer(tiny(100, kl_rampup=0.5), instruments, World())
    shares = [trainer.kl_share(step) for step in (0, 24, 49, 99)]
    assert shares == pytest.approx([1 / 50, 0.5, 1.0, 1.0])


def test_it_learns_to_redraw(instruments, frames, tmp_path):
    records = list(train_autoencoder(tiny(30), frames, instruments, tmp_path))
    assert records[-1]["l2"] < 0.6 * records[0]["l2"]


def test_a_stopped_warm_start_resumes_exactly(instruments, frames, tmp_path):
    list(train_autoencoder(tiny(6), frames, instruments, tmp_path / "whole"))
    running = train_autoencoder(tiny(6), frames, instruments, tmp_path / "broken")
    for _ in range(3):
        next(running)
    running.close()
    list(train_autoencoder(tiny(6), frames, instruments, tmp_path / "broken"))
    whole, broken = (
        Checkpoints(tmp_path / name).load_latest()[1]["networks"] for name in ("whole", "broken")
    )
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())


def test_a_game_begins_with_the_generator_it_is_given():
    sizes = {"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8}
    chosen = config.preset(config.GENERATOR_PRESETS, "nano", **sizes)
    other = GeneratorTrainer(dataclasses.replace(chosen, seed=5), World()).generator
    trainer = GeneratorTrainer(chosen, World(), start=other)
    for ours in (trainer.generator, trainer.ema):
        state = ours.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_an_anchored_game_redraws_while_it_plays(instruments, frames, tmp_path):
    """The encoder learns with the generator, the critic may learn alone first, all resumes."""
    sizes = {"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8}
    kimg = 8 / 1000
    chosen = config.preset(
        config.GENERATOR_PRESETS, "nano", batch=8, total_kimg=4 * kimg, tick_kimg=kimg,
        save_kimg=kimg, anchor=1.0, critic_first_kimg=2 * kimg, half="none", **sizes,
    )  # fmt: skip
    start = AutoencoderTrainer(tiny(1), instruments, World())

    def play(name):
        redrawing = copy.deepcopy(start.redrawing)
        return train_generator(chosen, frames, tmp_path / name, redrawing=redrawing)

    records = list(play("whole"))
    assert "g_loss" not in records[1] and {"g_loss", "l2"} <= records[2].keys()
    broken = play("broken")
    for _ in range(3):
        next(broken)
    broken.close()
    list(play("broken"))
    whole, again = (Checkpoints(tmp_path / name).load_latest()[1] for name in ("whole", "broken"))
    for part in ("encoder", "generator", "ema"):
        assert all(torch.equal(value, again[part][name]) for name, value in whole[part].items())
    begun = start.networks["encoder"].state_dict()
    assert not torch.equal(whole["encoder"]["head.weight"], begun["head.weight"])


def test_an_anchor_needs_a_warm_start():
    chosen = config.preset(config.GENERATOR_PRESETS, "nano", anchor=1.0)
    with pytest.raises(BadValue, match="anchor needs the encoder of a warm start"):
        GeneratorTrainer(chosen, World())


def train_some(instruments, frames, folder, world):
    list(train_autoencoder(tiny(20), frames, instruments, folder, world))


def test_two_processes_equal_one(instruments, frames, tmp_path):
    double = Instruments(*(part.double() for part in copy.deepcopy(instruments[:2])), "loss", {})
    assert_two_equal_one(
        functools.partial(train_some, double, Double(frames)), tmp_path, "networks"
    )
