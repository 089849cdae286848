"""The inverter learns to reconstruct, round after round, and resumes exactly."""

import dataclasses

import pytest
import torch
from two_processes import Double, assert_two_equal_one

from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadValue
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.stylegan2.sampling import draw
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.train_inverter import InverterTrainer, InverterTraining, train_inverter

SLIM = {"resolution": 16, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}


class Drawn:
    """Frames that the generator itself can draw."""

    def __init__(self, generator):
        self.images = draw(generator, range(32))

    def at(self, positions):
        return self.images[[p % len(self.images) for p in positions]]


def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig(16, 8, 8, 1, channel_base=64, channel_max=8))
        generator.w_mean.copy_(generator.estimate_w_mean(200)[0])
        recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
        reader = FactorReader(FactorReaderConfig(**SLIM)).eval()
        return generator.eval(), Instruments(reader, recogniser, "loss", {})


def tiny(steps, **changes):
    config = InverterTraining(
        encoder=IdentityEncoderConfig(**SLIM, n_styles=6, w_dim=8, rounds=2),
        batch=8, rounds=2, total_kimg=steps * 0.008, tick_kimg=0.08, save_kimg=0.04,
        half="none",
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def test_the_inverter_learns(tmp_path):
    generator, measure = networks()
    records = list(train_inverter(tiny(80), Drawn(generator), generator, measure, tmp_path))
    assert records[-1]["l2_2"] < 0.8 * records[0]["l2_2"]


def test_a_stopped_run_resumes_exactly(tmp_path):
    for name, leaves in (("whole", (15,)), ("broken", (4, 15))):
        for steps in leaves:
            generator, measure = networks()
            frames = Drawn(generator)
            list(train_inverter(tiny(steps), frames, generator, measure, tmp_path / name))
    whole, broken = (
        Checkpoints(tmp_path / name).load_latest()[1]["encoder"] for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_frozen_networks_stay_as_they_were(tmp_path):
    generator, measure = networks()
    before = [
        p.clone()
        for p in (*generator.parameters(), *measure.recogniser.buffers(), *measure.reader.buffers())
    ]
    list(train_inverter(tiny(2), Drawn(generator), generator, measure, tmp_path))
    after = [*generator.parameters(), *measure.recogniser.buffers(), *measure.reader.buffers()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_loss_is_the_weighted_sum_of_its_terms():
    generator, measure = networks()
    trainer = InverterTrainer(tiny(1), generator, measure, World())
    wanted = trainer.wanted(0, Drawn(generator))
    assert len(wanted.images) == 8 and len(wanted.latents) == 2
    found = torch.randn(8, 6, 8)
    drawn = generator.synthesis(found)
    loss, terms = trainer.round_loss(wanted, found, drawn)
    config = trainer.config
    expected = (
        config.l2 * terms["l2"] + config.perceptual * terms["perceptual"]
        + config.identity * terms["identity"] + config.w_norm * terms["w_norm"]
        + config.spread * terms["spread"] + config.latent * terms["latent"]
    )  # fmt: skip
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(terms["l2"], (drawn - wanted.images).square().mean())
    torch.testing.assert_close(terms["latent"], (found[-2:] - wanted.latents).square().mean())


def test_a_new_run_begins_with_the_encoder_that_it_is_given():
    generator, measure = networks()
    given = IdentityEncoder(tiny(1).encoder)
    trainer = InverterTrainer(tiny(1), generator, measure, World(), given)
    wanted = given.state_dict()
    assert all(torch.equal(v, wanted[name]) for name, v in trainer.encoder.state_dict().items())


def test_half_precision_changes_the_rounds_but_little():
    generator, measure = networks()
    found = {}
    for half in ("none", "bfloat16"):
        trainer = InverterTrainer(
            dataclasses.replace(tiny(1), half=half), generator, measure, World()
        )
        wanted = trainer.wanted(0, Drawn(generator))
        start = trainer.encoder.start(generator, len(wanted.images))
        latents, pictures = trainer.round(wanted, *start)
        assert latents.dtype == pictures.dtype == torch.float32
        found[half] = latents
    difference = (found["none"] - found["bfloat16"]).abs().max()
    assert 0 < difference < 0.02 * found["none"].abs().max()


def test_an_encoder_of_other_sizes_is_refused():
    generator, measure = networks()
    with pytest.raises(BadValue, match="takes 6 styles of 8; set encoder"):
        InverterTrainer(InverterTraining(), generator, measure, World())


def train_some(folder, world):
    generator, measure = networks()
    parts = (generator.double(), *(part.double() for part in measure[:2]))
    generator, measure = parts[0], Instruments(*parts[1:], "loss", {})
    frames = Double(Drawn(generator))
    list(train_inverter(tiny(20, half="none"), frames, generator, measure, folder, world))


def test_two_processes_equal_one(tmp_path):
    assert_two_equal_one(train_some, tmp_path, "encoder")
