"""A warm start for a generator: it first learns to redraw pictures, then the game begins.

An encoder reads each picture into a distribution over z; the generator, mapping network included,
draws samples of it (see `redrawing`). What comes out is blurred, but poses, hair and colours are
all there and z is used whole, which takes the game alone many times as many pictures to reach.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xfer.axes import Image
from xfer.backbones import BackboneConfig
from xfer.instruments import Instruments
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.config import GENERATOR_PRESETS
from xfer.training.distributed import World
from xfer.training.randomness import rng
from xfer.training.redrawing import LatentReader, LatentReaderConfig, Redrawing
from xfer.training.session import Session
from xfer.training.shared_layers import share_layers
from xfer.training.train_generator import Batches


@dataclass(frozen=True)
class AutoencoderTraining:
    """Training of a generator and a throw-away encoder."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    encoder: BackboneConfig = field(
        default_factory=lambda: BackboneConfig(64, 3, (16, 32, 64, 128), (1, 1, 2, 1), 8)
    )
    seed: int = 0
    batch: int = 16
    total_kimg: float = 100.0
    tick_kimg: float = 2.0
    save_kimg: float = 10.0
    learning_rate: float = 2e-3
    beta1: float = 0.0
    """Momentum of Adam; 0.9 learns faster where few pictures are seen."""
    perceptual: float = 0.3
    look: str = "both"
    """Whose features say how alike pictures look: both loss-side instruments', or one's."""
    kl: float = 4.0
    """Weight of z's divergence from a standard normal; see `Redrawing`."""
    kl_rampup: float = 0.3
    """Share of the run in which that weight grows from nothing."""


def _autoencoder(preset: str, encoder: BackboneConfig, **rest: Any) -> AutoencoderTraining:
    return AutoencoderTraining(GENERATOR_PRESETS[preset].generator, encoder, **rest)


AUTOENCODER_PRESETS: dict[str, AutoencoderTraining] = {
    "nano": _autoencoder(
        "nano", BackboneConfig(32, 3, (16, 32, 64), (1, 1, 1), 8),
        total_kimg=40.0, save_kimg=10.0, learning_rate=4e-3, beta1=0.9, kl=8.0,
    ),
    "small": _autoencoder("small", BackboneConfig(64, 3, (16, 32, 64, 128), (1, 1, 2, 1), 8)),
    "medium": _autoencoder(
        "medium", BackboneConfig(128, 3, (32, 64, 128, 256), (1, 2, 2, 2)), batch=32,
        total_kimg=400.0,
    ),
}  # fmt: skip


class AutoencoderTrainer:
    """Encoder and generator, trained together, and the frozen instruments that measure."""

    def __init__(self, config: AutoencoderTraining, measure: Instruments, world: World):
        self.config, self.world = config, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            generator = Generator(config.generator)
            sizes = dataclasses.asdict(config.encoder) | {"z_dim": generator.z_dim}
            encoder = LatentReader(LatentReaderConfig(**sizes))
        self.networks = nn.ModuleDict({"generator": generator, "encoder": encoder})
        self.redrawing = Redrawing(encoder, measure.look(config.look), config.perceptual, config.kl)
        self.samples = world.samples(config.batch)
        share_layers(self.networks, world)
        place = {"device": world.device, "memory_format": torch.channels_last}
        self.networks.to(**place)
        self.redrawing.to(**place)
        self.optimiser = torch.optim.Adam(
            self.networks.parameters(), config.learning_rate, betas=(config.beta1, 0.99)
        )

    def kl_share(self, step: float) -> float:
        """Part of the divergence's weight: first pictures are learned, then their latents."""
        ramp = self.config.kl_rampup * self.config.total_kimg * 1000 / self.config.batch
        return min(1.0, (step + 1) / max(ramp, 1.0))

    def loss(
        self, step: int, images: Image, scheduled_step: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What one step is trained on; the schedule may be ahead of the step."""
        generator, share = self.networks["generator"], self.kl_share(scheduled_step)
        loss, facts, _ = self.redrawing.loss(
            generator, images, self.config.seed, step, self.samples, share
        )
        return loss, facts


def train_autoencoder(
    config: AutoencoderTraining,
    frames: Batches,
    measure: Instruments,
    folder: str | Path,
    world: World | None = None,
) -> Iterator[dict[str, Any]]:
    """Train, yielding one record a tick; resumes like every loop.

    Args:
        measure: The copy that serves in losses.
    """
    world = world or World()
    trainer = AutoencoderTrainer(config, measure, world)
    state = {"networks": trainer.networks, "optimiser": trainer.optimiser}
    with Session(folder, config, state, world, score="l2") as session:
        for step in session.steps():
            first = step * config.batch
            images = frames.at([first + sample for sample in trainer.samples]).to(world.device)
            loss, facts = trainer.loss(step, images, session.scheduled_step)
            if session.update(trainer.optimiser, trainer.networks, loss):
                session.count(**facts)
            if record := session.tick():
                yield record
