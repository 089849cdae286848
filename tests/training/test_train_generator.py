"""The generator's loop: exact resume, averages, bad numbers, two processes, the equations."""

import dataclasses
import math
import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from two_processes import assert_two_equal_one

from xfer import losses
from xfer.errors import BadValue
from xfer.runs import read_json, read_stats
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.train_generator import GeneratorTrainer, train_generator

TINY = {
    "generator.resolution": 8,
    "discriminator.resolution": 8,
    "generator.channel_base": 64,
    "discriminator.channel_base": 64,
    "generator.channel_max": 8,
    "discriminator.channel_max": 8,
    "generator.z_dim": 8,
    "generator.w_dim": 8,
    "batch": 8,
    "r1_interval": 3,
    "path_interval": 2,
    "half": "none",
    "flip": True,
}


def tiny(steps=6, save_every=2, **changes):
    config = preset(GENERATOR_PRESETS, "nano", **TINY)
    kimg = config.batch / 1000
    return dataclasses.replace(
        config,
        total_kimg=steps * kimg,
        tick_kimg=2 * kimg,
        save_kimg=save_every * kimg,
        **changes,
    )


def pictures(n=12):
    rng = np.random.default_rng(0)
    return FrameArray(rng.integers(0, 255, (n, 8, 8, 3), dtype=np.uint8))


def weights(folder):
    return Checkpoints(folder).load_latest()[1]


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "totals")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_run_yields_a_record_a_tick_and_keeps_it(tmp_path):
    records = list(train_generator(tiny(), pictures(), tmp_path))
    assert [record["step"] for record in records] == [2, 4, 6]
    assert all(math.isfinite(r[k]) for r in records for k in ("d_loss", "g_loss", "path_length"))
    assert [line["step"] for line in read_stats(tmp_path)] == [2, 4, 6]


def test_a_run_stopped_anywhere_ends_bit_equal_to_an_unbroken_one(tmp_path):
    list(train_generator(tiny(7), pictures(), tmp_path / "whole"))
    for steps in (3, 5, 7):  # the same run, given longer and longer leave
        list(train_generator(tiny(steps), pictures(), tmp_path / "broken"))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves_and_the_run_goes_on_exactly(number, tmp_path):
    config = tiny(8, save_every=5)
    list(train_generator(config, pictures(), tmp_path / "whole"))
    for record in train_generator(config, pictures(), tmp_path / "broken"):
        if record["step"] == 4:
            os.kill(os.getpid(), number)
    assert Checkpoints(tmp_path / "broken").steps() == [4]  # by the signal alone
    assert read_json(tmp_path / "broken" / "run.json")["stopped"] == number.name
    list(train_generator(config, pictures(), tmp_path / "broken"))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))


def test_the_average_follows_with_its_half_life():
    config = tiny(ema_kimg=0.016, ema_rampup=0.0)  # half-life of two steps of eight
    trainer = GeneratorTrainer(config, World())
    name = "const"
    start = trainer.ema.get_parameter(name).clone()
    with torch.no_grad():
        trainer.generator.get_parameter(name).copy_(start + 1)
    for step in range(4):
        trainer.average(step)
    torch.testing.assert_close(trainer.ema.get_parameter(name), start + 0.75)


def test_pictures_that_are_no_squares_are_refused(tmp_path):
    wide = FrameArray(np.zeros((12, 8, 16, 3), np.uint8))
    with pytest.raises(BadValue, match="8 pixels square here; got 16 x 8"):
        list(train_generator(tiny(), wide, tmp_path))


def test_path_lengths_that_overflow_once_are_forgotten(tmp_path, monkeypatch):
    """They are averaged over steps, and the average must not keep what is no number."""
    lengths, calls = losses.path_lengths, []

    def overflowing(*args):
        calls.append(1)
        return lengths(*args) * (float("inf") if len(calls) == 1 else 1)

    monkeypatch.setattr(losses, "path_lengths", overflowing)
    records = list(train_generator(tiny(6), pictures(), tmp_path))
    assert len(calls) == 3 and records[-1]["bad_steps"] == 1
    path_mean = weights(tmp_path)["scalars"]["path_mean"]
    assert path_mean.isfinite() and path_mean > 0


def test_a_step_equals_a_plain_restatement_of_the_equations():
    """Critic and generator losses, R1 and path length against formulas written out here."""
    trainer = GeneratorTrainer(tiny(), World())
    g, d = trainer.generator, trainer.discriminator
    real = trainer.real(0, pictures())

    loss, _ = trainer.critic_loss(5, real)
    with torch.no_grad():
        w_plus, noise = trainer.latents(5, "critic", trainer.samples)
        fake = g.synthesis(w_plus, noise)
    p_real, p_fake = torch.sigmoid(d(real)), torch.sigmoid(d(fake))
    torch.testing.assert_close(loss, -(p_real.log().mean() + (1 - p_fake).log().mean()))

    loss, _ = trainer.generator_loss(5)
    w_plus, noise = trainer.latents(5, "generator", trainer.samples)
    torch.testing.assert_close(loss, -torch.sigmoid(d(g.synthesis(w_plus, noise))).log().mean())

    loss, facts = trainer.r1_loss(real)
    x = real.clone().requires_grad_()
    gradient = torch.autograd.grad(d(x).sum(), x)[0]
    torch.testing.assert_close(facts["r1"], gradient.pow(2).sum() / len(x))
    torch.testing.assert_close(loss, facts["r1"] * trainer.config.r1_gamma / 2 * 3)

    before = trainer.scalars.values["path_mean"].clone()
    loss, facts = trainer.path_loss(5)
    assert before == 0
    torch.testing.assert_close(trainer.scalars.values["path_mean"], 0.01 * facts["path_length"])
    assert loss.requires_grad and F.relu(loss) == loss


def train_some(folder, world):
    list(train_generator(tiny(20, 20), pictures(), folder, world))


def test_two_processes_equal_one(tmp_path):
    assert_two_equal_one(train_some, tmp_path, "ema")
