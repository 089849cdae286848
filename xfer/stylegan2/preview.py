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


@dataclass(frozen=True)
class PreviewConfig:
    """Sizes of the two heads."""

    channels_64: int = 512
    """Of the features at 64 px, which the image of 128 px is made of."""
    channels_128: int = 256
    """Of the features at 128 px, which the image of 256 px is made of."""
    width: int = 48
    """Channels inside a head."""
    n_styles: int = 16
    w_dim: int = 512
    first_fine_64: int = 9
    """The first style that the features at 64 px do not know of yet."""
    first_fine_128: int = 11


class PreviewHead(nn.Module):
    """Features to an image of twice their resolution: a few convolutions, then inverse Haar.

    The styles of the layers that are left out colour the image, so they modulate the head.
    """

    def __init__(self, channels: int, width: int, n_fine: int, w_dim: int, rank: int = 32):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.styles = nn.Sequential(nn.Linear(n_fine * w_dim, rank), nn.Linear(rank, 2 * width))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
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
        c = config
        self.head_128 = PreviewHead(c.channels_64, c.width, c.n_styles - c.first_fine_64, c.w_dim)
        self.head_256 = PreviewHead(c.channels_128, c.width, c.n_styles - c.first_fine_128, c.w_dim)

    @classmethod
    def unpack(cls, network: Network) -> tuple[PreviewConfig, Mapping[str, Tensor]]:
        return stored_config(PreviewConfig, network), network.tensors

    @staticmethod
    def reads(size: int) -> int:
        """The resolution of the features that an image of `size` px is made of."""
        if size not in (128, 256):
            raise BadValue(f"a preview has 128 or 256 px; got {size}")
        return size // 2

    def forward(
        self, features: Features, w_plus: WPlus, size: int
    ) -> Float[Tensor, "batch 3 height_out width_out"]:
        """Args: `features` are those of resolution `reads(size)`."""
        if size == 128:
            return self.head_128(features, w_plus[:, self.config.first_fine_64 :])
        return self.head_256(features, w_plus[:, self.config.first_fine_128 :])
