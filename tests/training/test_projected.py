"""The projected critic trains its own heads only, and what it is shown is moved and tinted."""

import dataclasses

import numpy as np
import pytest
import torch
from two_processes import Double, assert_two_equal_one

from xfer.errors import BadValue
from xfer.instruments import FactorReader
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.frames import FrameArray
from xfer.training.instrument_config import READER_PRESETS
from xfer.training.projected import ProjectedDiscriminator, augmented
from xfer.training.train_generator import train_generator


@pytest.fixture(scope="module")
def body():
    torch.manual_seed(0)
    return FactorReader(READER_PRESETS["nano"].reader).eval().backbone


@pytest.fixture
def critic(body):
    torch.manual_seed(1)
    return ProjectedDiscriminator([body], 32, width=8)


def test_every_scale_gives_sixteen_verdicts_a_picture(critic):
    # The nano body has three stages, at 16, 8 and 4 px.
    assert critic(torch.randn(2, 3, 32, 32)).shape == (2 * 3 * 16, 1)


def test_each_scale_sees_the_whole_picture_s_stage(critic):
    edges = [features.shape[2] for features in critic.projections[0](torch.zeros(1, 3, 32, 32))]
    assert edges == [16, 8, 4]


def test_only_the_critics_learn_but_pictures_get_gradients(critic):
    image = torch.randn(2, 3, 32, 32, requires_grad=True)
    critic.requires_grad_(True)
    critic(image).sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.projections.parameters())
    assert all(p.grad is not None for p in critic.critics.parameters())
    critic.requires_grad_(False)
    assert not any(p.requires_grad for p in critic.parameters())


def test_the_bodies_norms_stay_as_they_were_learned(critic):
    before = {name: value.clone() for name, value in critic.projections.state_dict().items()}
    critic.train()(torch.randn(4, 3, 32, 32))
    after = critic.projections.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_augmented_pictures_are_shifted_copies_with_other_colours():
    image = torch.zeros(3, 3, 16, 16)
    image[:, 0, 8, 8] = 1.0  # one red spot
    out = augmented(image, 0, "a", 5, [0, 1, 2])
    redness = out[:, 0] - out[:, 1]
    spots = [divmod(int(r.flatten().argmax()), 16) for r in redness]
    assert all(abs(row - 8) <= 2 and abs(column - 8) <= 2 for row, column in spots)
    assert len(set(spots)) > 1  # not all moved alike
    assert torch.equal(out, augmented(image, 0, "a", 5, [0, 1, 2]))
    assert torch.equal(out[1:2], augmented(image[1:2], 0, "a", 5, [1]))


def tiny(kimg, batch=4):
    return config.preset(
        config.GENERATOR_PRESETS, "nano", critic="projected", critic_width=8, r1_interval=0,
        path_interval=0, augment=True, batch=batch, total_kimg=kimg, tick_kimg=0.004,
        save_kimg=0.004, half="none",
        **{"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8},
    )  # fmt: skip


def test_a_stopped_projected_run_resumes_exactly(body, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
    run = lambda name: train_generator(
        tiny(0.012), FrameArray(pictures), tmp_path / name, bodies=[body]
    )
    records = list(run("whole"))
    assert records[-1]["step"] == 3 and records[-1]["bad_steps"] == 0
    broken = run("broken")
    next(broken)
    broken.close()
    list(run("broken"))
    whole, again = (Checkpoints(tmp_path / name).load_latest()[1] for name in ("whole", "broken"))
    for part in ("generator", "discriminator"):
        assert all(torch.equal(v, again[part][name]) for name, v in whole[part].items())


def play_in_double(folder, world):
    torch.manual_seed(0)
    body = FactorReader(READER_PRESETS["nano"].reader).eval().backbone
    pictures = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
    frames = Double(FrameArray(pictures))
    list(train_generator(tiny(0.04, 8), frames, folder, world, bodies=[body]))


def test_two_processes_equal_one(tmp_path):
    assert_two_equal_one(play_in_double, tmp_path, "discriminator")


def test_a_projected_critic_needs_instruments(tmp_path):
    pictures = FrameArray(np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(BadValue, match="looks through instruments"):
        next(train_generator(tiny(0.004), pictures, tmp_path))


def test_a_critic_is_plain_or_projected():
    with pytest.raises(BadValue, match="plain, normed or projected"):
        dataclasses.replace(tiny(0.004), critic="other")
