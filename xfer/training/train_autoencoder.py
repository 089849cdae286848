"""A warm start for a generator: it first learns to redraw pictures, then the game begins.

An encoder reads each picture into a distribution over z; the generator, mapping network included,
draws samples of it (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014; followed by
a critic as in Larsen et al., "Autoencoding beyond pixels", ICML 2016). What comes out is blurred,
but poses, hair and colours are all there and z is used whole, which takes the game alone many
times as many pictures to reach. The encoder is not needed afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer import losses
from xfer.axes import Image, Z
from xfer.backbones import Backbone, BackboneConfig, fit
from xfer.errors import expect
from xfer.instruments import FaceRecogniser
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.config import GENERATOR_PRESETS
from xfer.training.distributed import World
from xfer.training.randomness import normal, rng, sample_rngs
from xfer.training.session import Session
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
    perceptual: float = 0.3
    kl: float = 4.0
    """Weight of the divergence from a standard normal z, a number of the picture: twice the
    variance that a pixel is thought to have. Too little, and random z are no faces."""
    kl_rampup: float = 0.3
    """Share of the run in which that weight grows from nothing."""


def _autoencoder(preset: str, encoder: BackboneConfig, **rest: Any) -> AutoencoderTraining:
    return AutoencoderTraining(GENERATOR_PRESETS[preset].generator, encoder, **rest)


AUTOENCODER_PRESETS: dict[str, AutoencoderTraining] = {
    "nano": _autoencoder(
        "nano", BackboneConfig(32, 3, (16, 32, 64), (1, 1, 1), 8),
        total_kimg=40.0, save_kimg=10.0,
    ),
    "small": _autoencoder("small", BackboneConfig(64, 3, (16, 32, 64, 128), (1, 1, 2, 1), 8)),
    "medium": _autoencoder(
        "medium", BackboneConfig(128, 3, (32, 64, 128, 256), (1, 2, 2, 2)), batch=32,
        total_kimg=400.0,
    ),
}  # fmt: skip


class LatentReader(nn.Module):
    """A picture's mean and log variance of z."""

    def __init__(self, config: BackboneConfig, z_dim: int):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = nn.Linear(config.channels[-1] * config.features**2, 2 * z_dim)

    def forward(self, image: Image) -> tuple[Z, Z]:
        features = self.backbone(fit(image, self.config.resolution)).flatten(1)
        mean, log_variance = self.head(features).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 4)


def divergence(mean: Z, log_variance: Z) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence from the standard normal in nats, batch mean."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


class AutoencoderTrainer:
    """Encoder and generator, trained together, and the frozen recogniser that measures."""

    def __init__(self, config: AutoencoderTraining, recogniser: FaceRecogniser, world: World):
        self.config, self.world = config, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            generator = Generator(config.generator)
            encoder = LatentReader(config.encoder, generator.z_dim)
        place = {"device": world.device, "memory_format": torch.channels_last}
        self.networks = nn.ModuleDict({"generator": generator, "encoder": encoder}).to(**place)
        self.recogniser = recogniser.to(**place).eval().requires_grad_(False)
        self.optimiser = torch.optim.Adam(
            self.networks.parameters(), config.learning_rate, betas=(0.0, 0.99)
        )

    def kl_weight(self, step: int) -> float:
        """The divergence's weight at a step: first pictures are learned, then their latents."""
        ramp = self.config.kl_rampup * self.config.total_kimg * 1000 / self.config.batch
        return self.config.kl * min(1.0, (step + 1) / max(ramp, 1.0))

    def loss(self, step: int, images: Image) -> tuple[Tensor, dict[str, Tensor]]:
        """What one step is trained on: squared error, look, and the divergence of z."""
        generator, config = self.networks["generator"], self.config
        mean, log_variance = self.networks["encoder"](images)
        rngs = sample_rngs(config.seed, "posterior", step, range(len(images)))
        z = mean + (log_variance / 2).exp() * normal(rngs, generator.z_dim).to(images)
        drawn = generator.synthesis(generator.to_w_plus(generator.mapping(z)), "none")
        look = self.recogniser.backbone.stages
        terms = {
            "l2": F.mse_loss(drawn, images),
            "perceptual": losses.feature_distance(look(drawn), look(images)),
            "nats": divergence(mean, log_variance),
        }
        loss = terms["l2"] + config.perceptual * terms["perceptual"]
        loss = loss + self.kl_weight(step) / images[0].numel() * terms["nats"]
        return loss, {name: value.detach() for name, value in terms.items()}


def train_autoencoder(
    config: AutoencoderTraining,
    frames: Batches,
    recogniser: FaceRecogniser,
    folder: str | Path,
    world: World | None = None,
) -> Iterator[dict[str, Any]]:
    """Train, yielding one record a tick; resumes like every loop.

    Args:
        recogniser: Frozen; the copy that serves in losses.
    """
    world = world or World()
    expect(world.size == 1, "the warm start trains in one process; start without torchrun")
    trainer = AutoencoderTrainer(config, recogniser, world)
    state = {"networks": trainer.networks, "optimiser": trainer.optimiser}
    with Session(folder, config, state, world, score="l2") as session:
        for step in session.steps():
            first = step * config.batch
            images = frames.at(list(range(first, first + config.batch))).to(world.device)
            loss, facts = trainer.loss(step, images)
            if session.update(trainer.optimiser, trainer.networks, loss):
                session.count(**facts)
            if record := session.tick():
                yield record
