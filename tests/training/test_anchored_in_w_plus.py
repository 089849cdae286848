"""A generator that redraws pictures from W+ beside a game with a normed critic."""

import copy

import numpy as np
import pytest
import torch
from two_processes import Double, assert_two_equal_one

from xfer import losses
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadValue
from xfer.files import read_checkpoint
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.stylegan2.generator import Generator
from xfer.training import config, recipes
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.normed import NormedDiscriminator
from xfer.training.redrawing import Refinding
from xfer.training.train_generator import GeneratorTrainer, train_generator

# Training with four channels makes torch itself corrupt its memory on some processors.
SLIM = {"resolution": 32, "channels": (8, 16), "blocks": (1, 1), "reduction": 4}
SIZES = {"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8}
KIMG = 0.008


def game(steps, **changes):
    chosen = {
        "batch": 8, "total_kimg": steps * KIMG, "tick_kimg": KIMG, "save_kimg": KIMG,
        "anchor": 40.0, "anchor_in": "w_plus", "anchor_learning_rate": 1e-3, "beta1": 0.5,
        "critic": "normed", "critic_width": 4, "critic_learning_rate": 1e-4, "game_interval": 2,
        "r1_interval": 0, "path_interval": 0, "half": "none",
    }  # fmt: skip
    return config.preset(config.GENERATOR_PRESETS, "nano", **chosen | SIZES | changes)


@pytest.fixture
def instruments():
    return tiny_instruments()


def tiny_instruments():
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    return Instruments(reader, recogniser, "loss", {})


@pytest.fixture
def encoder():
    return tiny_encoder()


def tiny_encoder():
    torch.manual_seed(1)
    return IdentityEncoder(IdentityEncoderConfig(**SLIM, n_styles=8, w_dim=8, rounds=2))


@pytest.fixture
def pictures():
    return coarse_pictures()


def coarse_pictures():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (16, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_faces_are_found_again_ever_better(instruments, encoder, pictures, tmp_path):
    anchor = Refinding(encoder, instruments.look())
    records = list(train_generator(game(60), FrameArray(pictures), tmp_path, redrawing=anchor))
    assert records[-1]["l2"] < 0.7 * records[0]["l2"]
    assert {"d_loss", "g_loss"} <= records[0].keys()  # turns of the game at even steps
    assert not {"d_loss", "g_loss"} & records[1].keys()


def test_the_critic_also_judges_redrawn_pictures(instruments, encoder, pictures, tmp_path):
    """Its verdict on them reaches generator and encoder, in the ratio of its weight."""
    changes = []
    for weight in (0.0, 1.0, 2.0):
        chosen = game(4, redrawn_game=weight, learning_rate=1e-3)
        anchor = Refinding(copy.deepcopy(encoder), instruments.look())
        trainer = GeneratorTrainer(chosen, World(), redrawing=anchor)
        real = torch.from_numpy(pictures[:8]).permute(0, 3, 1, 2) / 127.5 - 1
        redrawn = trainer.redraw(0, real)
        loss, facts = trainer.critic_loss(0, real, redrawn)
        assert ("redrawn_logits" in facts) == (weight > 0)
        loss, _ = trainer.anchored_loss(0, redrawn)
        changes.append(torch.autograd.grad(loss, anchor.encoder.parameters())[0])
    once, twice = (change - changes[0] for change in changes[1:])
    assert once.abs().max() > 0
    assert torch.allclose(twice, 2 * once, rtol=1e-2, atol=1e-4 * once.abs().max().item())


def test_a_stopped_run_resumes_exactly(instruments, pictures, tmp_path):
    def play(name, steps):
        anchor = Refinding(tiny_encoder(), instruments.look())
        list(train_generator(game(steps), FrameArray(pictures), tmp_path / name, redrawing=anchor))

    play("whole", 5)
    play("broken", 3)
    play("broken", 5)
    whole, again = (Checkpoints(tmp_path / name).load_latest()[1] for name in ("whole", "broken"))
    for part in ("encoder", "generator", "ema", "discriminator"):
        assert all(torch.equal(value, again[part][name]) for name, value in whole[part].items())


def play_in_double(folder, world):
    """Real, random and redrawn pictures before the critic, and a penalty of its gradients."""
    chosen = game(10, redrawn_game=1.0, r1_interval=3)
    anchor = Refinding(tiny_encoder(), tiny_instruments().look())
    list(
        train_generator(
            chosen, Double(FrameArray(coarse_pictures())), folder, world, (), None, anchor
        )
    )


def test_two_processes_equal_one(tmp_path):
    assert_two_equal_one(play_in_double, tmp_path, "discriminator")


def test_the_recipe_writes_generator_and_encoder(
    instruments, encoder, pictures, tmp_path, monkeypatch
):
    monkeypatch.setitem(config.GENERATOR_PRESETS, "tiny", game(2))
    drawer = Generator(game(1).generator)
    np.save(tmp_path / "pictures.npy", pictures)
    path = recipes.train_generator(
        tmp_path / "run",
        tmp_path / "pictures.npy",
        "tiny",
        instruments=instruments.save(tmp_path / "instruments.safetensors"),
        start=recipes.write_checkpoint(
            tmp_path / "start.safetensors", {p.role: p.pack() for p in (drawer, encoder)}
        ),
    )
    assert set(read_checkpoint(path).networks) == {"generator", "identity_encoder"}
    found = IdentityEncoder.load(path).state_dict()
    state = Checkpoints(tmp_path / "run").load_latest()[1]["encoder"]
    assert all(torch.equal(value, state[name]) for name, value in found.items())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"anchor_in": "w"}, "anchor_in is z or w_plus; got 'w'"),
        ({"anchor": 0.0}, "game_interval above 1 needs one"),
        ({"anchor": 0.0, "game_interval": 1, "redrawn_game": 1.0}, "redrawn_game needs one"),
        ({"critic": "normal"}, "critic is plain, normed or projected"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, told):
    with pytest.raises(BadValue, match=told):
        game(1, **wrong)


def test_a_normed_critic_gives_one_verdict_a_picture():
    for resolution in (8, 32, 64):
        critic = NormedDiscriminator(resolution, width=4)
        assert critic(torch.randn(8, 3, resolution, resolution)).shape == (8, 1)


def test_its_first_layer_sees_the_colours_of_a_batch():
    """Behind a norm, a batch that is brighter as a whole would look like any other."""
    torch.manual_seed(0)
    critic, image = NormedDiscriminator(32, width=4), torch.randn(8, 3, 32, 32)
    assert not torch.allclose(critic(image), critic(image + 0.5), atol=1e-3)


def test_it_tells_shaded_corners_within_a_hundred_steps():
    torch.manual_seed(0)
    critic = NormedDiscriminator(32, width=8)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.99))
    for _ in range(100):
        real, fake = torch.randn(2, 16, 3, 32, 32)
        fake[:, :, :8, :8] *= 0.5
        loss = losses.hinge_discriminator_loss(critic(real), critic(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5  # 2 where nothing is told apart
