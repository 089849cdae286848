"""Redrawing pictures: an encoder reads a picture into z, the generator draws it again.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014. Alone it is a generator's
warm start; beside a critic it keeps the game from forgetting what it began with (Larsen et al.,
"Autoencoding beyond pixels", ICML 2016).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer import losses
from xfer.axes import Image, WPlus, Z
from xfer.backbones import Backbone, BackboneConfig, fit
from xfer.encoders import IdentityEncoder
from xfer.files import Network, Storable, stored_config
from xfer.instruments import Look
from xfer.precision import autocast, full
from xfer.stylegan2.generator import Generator
from xfer.training.randomness import normal, sample_rngs


@dataclass(frozen=True)
class LatentReaderConfig(BackboneConfig):
    """Sizes of the encoder."""

    z_dim: int = 512


class LatentReader(Storable, nn.Module):
    """A picture's mean and log variance of z."""

    role = "latent_reader"

    def __init__(self, config: LatentReaderConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = nn.Linear(config.channels[-1] * config.features**2, 2 * config.z_dim)

    @classmethod
    def unpack(cls, network: Network) -> tuple[LatentReaderConfig, Mapping[str, Tensor]]:
        return stored_config(LatentReaderConfig, network), network.tensors

    def forward(self, image: Image) -> tuple[Z, Z]:
        features = self.backbone(fit(image, self.config.resolution)).flatten(1)
        mean, log_variance = self.head(features).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 4)


def divergence(mean: Z, log_variance: Z) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence from the standard normal in nats, batch mean."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


@runtime_checkable
class Anchor(Protocol):
    """Redrawing real pictures beside the game."""

    encoder: nn.Module

    def to(self, **place: object) -> "Anchor": ...

    def loss(
        self, generator: Generator, images: Image, seed: int, step: int, samples: Sequence[int]
    ) -> tuple[Tensor, dict[str, Tensor], Image]:
        """The loss, its terms and the pictures drawn again."""
        ...


class Redrawing:
    """What it costs a generator to draw pictures again.

    Args:
        encoder: Trained with the generator.
        look: Of the loss side; its features say how different pictures look.
        perceptual: Weight of that difference beside the squared error.
        kl: Weight of the divergence from a standard normal z, a number of the picture: twice the
            variance that a pixel is thought to have. Too little, and random z are no faces.
    """

    def __init__(
        self,
        encoder: LatentReader,
        look: Look,
        perceptual: float = 0.3,
        kl: float = 4.0,
    ):
        self.encoder, self.perceptual, self.kl = encoder, perceptual, kl
        self.look = look

    def to(self, **place: object) -> "Redrawing":
        """Move both networks."""
        self.encoder.to(**place)
        self.look.to(**place)
        return self

    def loss(
        self,
        generator: Generator,
        images: Image,
        seed: int,
        step: int,
        samples: Sequence[int],
        share: float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor], Image]:
        """Squared error, look and divergence of one batch, and the batch drawn again.

        Args:
            seed, step: Of the noise in z.
            samples: Which of the whole batch the pictures are.
            share: Of the divergence's weight.
        """
        mean, log_variance = self.encoder(images)
        rngs = sample_rngs(seed, "posterior", step, samples)
        z = mean + (log_variance / 2).exp() * normal(rngs, generator.z_dim).to(images)
        drawn = generator.synthesis(generator.to_w_plus(generator.mapping(z)), "none")
        terms = {
            "l2": F.mse_loss(drawn, images),
            "perceptual": losses.feature_distance(self.look(drawn), self.look(images)),
            "nats": divergence(mean, log_variance),
        }
        loss = terms["l2"] + self.perceptual * terms["perceptual"]
        loss = loss + share * self.kl / images[0].numel() * terms["nats"]
        return loss, {name: value.detach() for name, value in terms.items()}, drawn


class Refinding:
    """What it costs a generator to draw pictures again from latents found in W+.

    The identity encoder learns beside the generator: a step trains one of its rounds, each in turn
    (Alaluf et al., "ReStyle", ICCV 2021). Latents have many more numbers than z and are
    kept near W, so that what is learned serves random people too.

    Args:
        encoder: Of the generator's sizes.
        look: As for `Redrawing`, and so is the next.
        w_norm, spread: Weights of the distance from the mean of w, and of styles from one another.
        half: Data type of convolutions; None for float32.
    """

    def __init__(
        self,
        encoder: IdentityEncoder,
        look: Look,
        perceptual: float = 0.5,
        w_norm: float = 0.005,
        spread: float = 0.005,
        half: torch.dtype | None = None,
    ):
        self.encoder, self.look, self.perceptual = encoder, look, perceptual
        self.w_norm, self.spread, self.half = w_norm, spread, half

    def to(self, **place: object) -> "Refinding":
        """Move both networks."""
        self.encoder.to(**place)
        self.look.to(**place)
        return self

    def loss(
        self, generator: Generator, images: Image, seed: int, step: int, samples: Sequence[int]
    ) -> tuple[Tensor, dict[str, Tensor], Image]:
        """Squared error, look and place of the latents of one batch, and the batch drawn again.

        Arguments as above. Noise is drawn anew at every step, so that nothing of a picture is
        hidden in it.
        """
        rngs = sample_rngs(seed, "refinding", step, samples)
        noise = [
            normal(rngs, 1, layer.resolution, layer.resolution).to(images)
            for layer in generator.layers
        ]
        with torch.no_grad():
            found, drawn = self.encoder.start(generator, len(images))
            for _ in range(step % self.encoder.config.rounds):
                found, drawn = self._round(generator, images, found, drawn, noise)
        found, drawn = self._round(generator, images, found, drawn, noise)
        with autocast(self.half, images.device):
            with torch.no_grad():
                wanted = self.look(images)
            seen = self.look(drawn)
        terms = {
            "l2": F.mse_loss(drawn, images),
            "perceptual": losses.feature_distance(seen, wanted),
            "w_norm": (found - generator.w_mean).square().mean(),
            "spread": losses.style_spread(found),
        }
        loss = terms["l2"] + self.perceptual * terms["perceptual"]
        loss = loss + self.w_norm * terms["w_norm"] + self.spread * terms["spread"]
        return loss, {name: value.detach() for name, value in terms.items()}, drawn

    def _round(
        self, generator: Generator, images: Image, found: WPlus, drawn: Image, noise: list[Tensor]
    ) -> tuple[WPlus, Image]:
        with autocast(self.half, images.device):
            offset = self.encoder(images, drawn)
        found = found + full(offset)
        return found, generator.synthesis(found, noise, self.half)
