"""Training of the inverter: ReStyle on a frozen generator.

Real frames teach it the world, the generator's own samples (whose latents are known) teach it
where latents lie. Every round of a step is trained on its own, from the picture of the round
before (Alaluf et al., "ReStyle", ICCV 2021).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer import losses
from xfer.axes import Image, WPlus
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import expect
from xfer.files import fill
from xfer.instruments import Embedding, Instruments
from xfer.precision import autocast, full, half_dtype
from xfer.stylegan2.generator import Generator
from xfer.training.distributed import World
from xfer.training.randomness import normal, rng, sample_rngs
from xfer.training.session import Session
from xfer.training.shared_layers import share_layers
from xfer.training.train_generator import Batches

KnownLatents = Float[Tensor, "drawn n_styles w_dim"]
"""True latents of the generator's own samples in a batch."""


class Wanted(NamedTuple):
    """What all rounds of a step are compared with."""

    images: Image
    """Real frames followed by drawn samples."""
    latents: KnownLatents
    features: list[Tensor]
    """Of the pictures, in the eyes of the look."""
    embedding: Embedding


@dataclass(frozen=True)
class InverterTraining:
    """Training of the identity encoder."""

    encoder: IdentityEncoderConfig = field(
        default_factory=lambda: IdentityEncoderConfig(
            resolution=64,
            channels=(24, 48, 96, 128),
            blocks=(1, 2, 2, 2),
            reduction=8,
            n_styles=10,
            w_dim=128,
        )
    )
    seed: int = 0
    batch: int = 16
    total_kimg: float = 300.0
    tick_kimg: float = 4.0
    save_kimg: float = 20.0
    learning_rate: float = 1e-3
    drawn: float = 0.25
    """Share of a batch that are the generator's own samples."""
    rounds: int = 3
    """Rounds a step; use takes more (`encoder.rounds`)."""
    l2: float = 1.0
    perceptual: float = 0.8
    look: str = "both"
    """Whose features say how alike pictures look: both loss-side instruments', or one's."""
    identity: float = 0.1
    latent: float = 1.0
    """Weight of the squared error of the latent, for drawn samples."""
    w_norm: float = 0.005
    """Weight of the squared distance from the mean of w."""
    spread: float = 0.005
    """Weight of the spread of styles, which keeps latents editable."""
    half: str = "auto"
    """Data type of convolutions: bfloat16, auto (that, where it is fast) or none."""

    def __post_init__(self):
        expect(0 <= self.drawn < 1, f"drawn is a share of the batch in [0, 1); got {self.drawn}")
        expect(self.rounds >= 1, f"rounds is at least 1; got {self.rounds}")


INVERTER_PRESETS: dict[str, InverterTraining] = {
    "nano": InverterTraining(
        IdentityEncoderConfig(
            resolution=32, channels=(16, 32, 48), blocks=(1, 1, 1), reduction=8,
            n_styles=8, w_dim=64,
        ),
        total_kimg=20.0, tick_kimg=2.0, save_kimg=5.0,
    ),
    "small": InverterTraining(),
    "medium": InverterTraining(
        IdentityEncoderConfig(
            resolution=128, channels=(32, 64, 128, 256), blocks=(2, 3, 6, 3), n_styles=12,
            w_dim=256,
        ),
        batch=32, total_kimg=1000.0,
    ),
    "paper": InverterTraining(
        IdentityEncoderConfig(), batch=8, total_kimg=1000.0, learning_rate=1e-4, rounds=5,
    ),
}  # fmt: skip


class InverterTrainer:
    """The encoder, and the frozen networks that draw and measure."""

    def __init__(
        self,
        config: InverterTraining,
        generator: Generator,
        measure: Instruments,
        world: World,
        start: IdentityEncoder | None = None,
    ):
        sizes = (generator.n_styles, generator.w_dim)
        expect(
            (config.encoder.n_styles, config.encoder.w_dim) == sizes,
            f"the generator takes {sizes[0]} styles of {sizes[1]}; set encoder.n_styles and "
            f"encoder.w_dim to them",
        )
        self.config, self.world = config, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            encoder = IdentityEncoder(config.encoder)
            for head in encoder.styles:  # the first offsets are small: start at the mean face
                nn.init.normal_(head.linear.weight, std=0.1)
        if start is not None:
            fill(encoder, start.state_dict())
        drawn = round(config.batch * config.drawn)
        self.real, self.drawn = world.samples(config.batch - drawn), world.samples(drawn)
        share_layers(encoder, world)
        place = {"device": world.device, "memory_format": torch.channels_last}
        self.encoder = encoder.to(**place).train()
        self.generator = generator.to(**place).eval().requires_grad_(False)
        self.recogniser = measure.recogniser.to(**place).eval().requires_grad_(False)
        self.look = measure.look(config.look).to(**place)
        self.optimiser = torch.optim.Adam(encoder.parameters(), config.learning_rate)
        self.half = half_dtype(config.half, world.device)

    def autocast(self) -> torch.autocast:
        """Half precision, by choice, for the networks within."""
        return autocast(self.half, self.world.device)

    @torch.no_grad()
    def wanted(self, step: int, frames: Batches) -> Wanted:
        """A step's pictures, and how they look to the instruments."""
        images, latents = self.batch(step, frames)
        with self.autocast():
            return Wanted(images, latents, self.look(images), self.recogniser(images))

    @torch.no_grad()
    def batch(self, step: int, frames: Batches) -> tuple[Image, KnownLatents]:
        """This process's real frames, followed by its drawn samples, and the latents of these."""
        first = step * len(self.real) * self.world.size
        images = frames.at([first + i for i in self.real]).to(self.world.device)
        rngs = sample_rngs(self.config.seed, "drawn", step, self.drawn)
        if not rngs:
            return images, images.new_zeros(0, self.generator.n_styles, self.generator.w_dim)
        z = normal(rngs, self.generator.z_dim).to(images)
        latents = self.generator.to_w_plus(self.generator.mapping(z))
        return torch.cat([images, self.generator.synthesis(latents)]), latents

    def round(self, wanted: Wanted, latent: WPlus, current: Image) -> tuple[WPlus, Image]:
        """The next latents and their pictures, from those of the round before."""
        with self.autocast():
            offset = self.encoder(wanted.images, current)
        found = latent + full(offset)
        return found, self.generator.synthesis(found, half=self.half)

    def round_loss(
        self, wanted: Wanted, found: WPlus, drawn: Image
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What one round is trained on.

        Args:
            found: The round's latents.
            drawn: Their pictures.
        """
        config, latents = self.config, wanted.latents
        with self.autocast():
            features, embedding = self.look(drawn), self.recogniser(drawn)
        terms = {
            "l2": F.mse_loss(drawn, wanted.images),
            "perceptual": losses.feature_distance(features, wanted.features),
            "identity": losses.identity_distance(embedding, wanted.embedding),
            "w_norm": (found - self.generator.w_mean).square().mean(),
            "spread": losses.style_spread(found),
        }
        if len(latents):
            terms["latent"] = F.mse_loss(found[-len(latents) :], latents)
        loss = sum(getattr(config, name) * value for name, value in terms.items())
        return loss, {name: value.detach() for name, value in terms.items()}


def train_inverter(
    config: InverterTraining,
    frames: Batches,
    generator: Generator,
    measure: Instruments,
    folder: str | Path,
    world: World | None = None,
    start: IdentityEncoder | None = None,
) -> Iterator[dict[str, Any]]:
    """Train, yielding one record a tick; every round updates the encoder once.

    Args:
        generator, measure: Frozen; the instruments are the copy that serves in losses.
        start: An encoder of the same sizes whose weights a new run begins with.
    """
    world = world or World()
    trainer = InverterTrainer(config, generator, measure, world, start)
    encoder = trainer.encoder
    state = {"encoder": encoder, "optimiser": trainer.optimiser}
    with Session(folder, config, state, world, score=f"l2_{config.rounds}") as session:
        for step in session.steps():
            wanted = trainer.wanted(step, frames)
            with torch.no_grad():
                latent, current = encoder.start(trainer.generator, len(wanted.images))
            for number in range(config.rounds):
                found, drawn = trainer.round(wanted, latent, current)
                loss, facts = trainer.round_loss(wanted, found, drawn)
                if session.update(trainer.optimiser, encoder, loss):
                    session.count(**{f"{name}_{number + 1}": v for name, v in facts.items()})
                latent, current = found.detach(), drawn.detach()
            if record := session.tick():
                yield record
