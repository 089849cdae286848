"""Previews: small images read from a generator's inner features by learned heads."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadValue
from xfer.shapes import Features, WPlus
from xfer.stylegan2.layers import InverseHaar

SIZES = (128, 256)
"""Edges of previews in pixels."""


@dataclass(frozen=True)
class PreviewConfig:
    """Sizes of the two heads."""

    channels_64: int = 512
    """Of the features at 64 px, which the image of 128 px is made of."""
    channels_128: int = 256
    """Of the features at 128 px, which the image of 256 px is made of."""
    width_64: int = 64
    """Channels inside the head on the features at 64 px."""
    width_128: int = 48
    n_styles: int = 16
    w_dim: int = 512
    first_fine_64: int = 9
    """The first style that the features at 64 px do not know of yet."""
    first_fine_128: int = 11


class PreviewHead(nn.Module):
    """Features to an image of twice their resolution: a few convolutions, then inverse Haar.

    The styles of the layers that are left out colour the image, so they modulate the head.
    """

    def __init__(
        self, reads: int, channels: int, width: int, n_convs: int, n_fine: int, w_dim: int
    ):
        super().__init__()
        self.reads = reads
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.styles = nn.Sequential(nn.Linear(n_fine * w_dim, 32), nn.Linear(32, 2 * width))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(n_convs))
        self.to_wavelets, self.haar = nn.Conv2d(2 * width, 12, 3, padding=1), InverseHaar()
        nn.init.zeros_(self.styles[1].weight)
        nn.init.zeros_(self.styles[1].bias)

    def forward(
        self, features: Features, fine: Float[Tensor, "batch n_fine w_dim"]
    ) -> Float[Tensor, "batch 3 height_out width_out"]:
        gain, bias = self.styles(fine.flatten(1))[:, :, None, None].chunk(2, 1)
        first = self.squeeze(features) * (1 + gain) + bias
        x = F.leaky_relu(first, 0.2)
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return self.haar(self.to_wavelets(torch.cat([first, x], 1)))


class Preview(Storable, nn.Module):
    """Both heads: 256 px for the eye, 128 px (a third of the time) for losses."""

    role = "preview"

    def __init__(self, config: PreviewConfig):
        super().__init__()
        self.config = config
        n_styles, w_dim = config.n_styles, config.w_dim
        self.head_128 = PreviewHead(
            64, config.channels_64, config.width_64, 3, n_styles - config.first_fine_64, w_dim
        )
        self.head_256 = PreviewHead(
            128, config.channels_128, config.width_128, 2, n_styles - config.first_fine_128, w_dim
        )

    @classmethod
    def unpack(cls, network: Network) -> tuple[PreviewConfig, Mapping[str, Tensor]]:
        return stored_config(PreviewConfig, network), network.tensors

    def head(self, size: int) -> tuple[PreviewHead, int]:
        """The head for images of `size` px, and the first style that modulates it."""
        if size not in SIZES:
            raise BadValue(f"a preview has 128 or 256 px; got {size}")
        if size == 128:
            return self.head_128, self.config.first_fine_64
        return self.head_256, self.config.first_fine_128

    def forward(
        self, features: Features, w_plus: WPlus, size: int
    ) -> Float[Tensor, "batch 3 height_out width_out"]:
        """Args: `features` are those of half the resolution."""
        head, first_fine = self.head(size)
        return head(features, w_plus[:, first_fine:])
