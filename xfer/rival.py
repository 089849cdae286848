"""The learned rival: channels of style space taken over from the driver through a mask.

What works on unsupervised reenactment do in StyleGAN2's style space (Bounareli et al., "StyleMask:
Disentangling the Style Space of StyleGAN2 for Neural Face Reenactment", FG 2023): both pictures are
inverted, and a network says from their difference how much of each channel comes from the driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.axes import Image, WPlus
from xfer.backbones import fit
from xfer.baselines import Driver
from xfer.encoders import FindsLatents, IdentityEncoder
from xfer.errors import expect
from xfer.files import (
    Network,
    Storable,
    load_network,
    read_checkpoint,
    stored_config,
    write_checkpoint,
)
from xfer.stylegan2.generator import Generator

Styles = Float[Tensor, "batch channels"]


@dataclass(frozen=True)
class StyleMaskConfig:
    """Sizes of a mask network."""

    channels: int
    """Of style space, all layers together."""
    hidden: int = 256

    def __post_init__(self):
        for name in ("channels", "hidden"):
            expect(getattr(self, name) >= 1, f"{name} is at least 1; got {getattr(self, name)}")


class StyleMask(Storable, nn.Module):
    """s = s_i + m(s_d - s_i) (s_d - s_i), with a mask m in (0, 1) for every channel."""

    role = "style_mask"

    def __init__(self, config: StyleMaskConfig):
        super().__init__()
        self.config = config
        self.mask = nn.Sequential(
            nn.Linear(config.channels, config.hidden),
            nn.PReLU(config.hidden),
            nn.Linear(config.hidden, config.channels),
        )
        # Begin near the identity, as the mappers do, but where the sigmoid still learns.
        nn.init.zeros_(self.mask[2].weight)
        nn.init.constant_(self.mask[2].bias, -2.0)

    @classmethod
    def unpack(cls, network: Network) -> tuple[StyleMaskConfig, Mapping[str, Tensor]]:
        return stored_config(StyleMaskConfig, network), network.tensors

    def forward(self, identity: Styles, driver: Styles) -> Styles:
        change = driver - identity
        return identity + self.mask(change).sigmoid() * change


def style_channels(generator: Generator) -> int:
    """Channels of a generator's style space."""
    layers = [*generator.layers, *generator.to_rgb]
    return sum(layer.affine.weight.shape[0] for layer in layers)


def swapped_pictures(
    mask: StyleMask, generator: Generator, identity: WPlus, driver: WPlus
) -> Image:
    """Identities with the drivers' pose and expression, from the latents of both."""
    parts = generator.styles(identity)
    widths = [part.shape[1] for part in parts]
    both = [torch.cat(styles, dim=1) for styles in (parts, generator.styles(driver))]
    return generator.synthesis_from_styles(mask(*both).split(widths, dim=1))


@dataclass(frozen=True)
class StyleSwap:
    """The rival as a method that can be evaluated."""

    mask: StyleMask
    generator: Generator
    encoder: FindsLatents
    """An `IdentityEncoder`, unless it only draws and is neither moved nor saved."""

    @classmethod
    def load(cls, path: str | Path) -> "StyleSwap":
        """Open a file of `xfer train rival`, in eval mode."""
        checkpoint = read_checkpoint(path)
        kinds = {"style_mask": StyleMask, "generator": Generator}
        kinds["identity_encoder"] = IdentityEncoder
        parts = [load_network(checkpoint, role, k.from_network).eval() for role, k in kinds.items()]
        return cls(*parts)

    def save(self, path: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
        """Write what `load` opens."""
        parts = (self.mask, self.generator, self.encoder)
        return write_checkpoint(path, {part.role: part.pack() for part in parts}, facts)

    def to(self, device: str) -> "StyleSwap":
        """Move all networks."""
        for part in (self.mask, self.generator, self.encoder):
            part.to(device)
        return self

    @torch.no_grad()
    def identify(self, image: Image, rounds: int | None = None) -> WPlus:
        """Latents of pictures, drivers' and identities' alike."""
        return self.encoder.invert(image, self.generator, rounds)

    @torch.no_grad()
    def __call__(self, driver: Driver, identity: Image) -> Image:
        latents = [self.identify(x) for x in (identity, driver.picture)]
        drawn = swapped_pictures(self.mask, self.generator, *latents)
        return fit(drawn, identity.shape[-1])


def is_rival(path: str | Path) -> bool:
    """Whether a file holds a mask network."""
    return "style_mask" in read_checkpoint(path).networks
