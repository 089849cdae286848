"""The discriminator of StyleGAN2, configuration F (residual).

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadValue
from xfer.shapes import Features, Image, Logits
from xfer.stylegan2.layers import Conv, Linear, Sizes, minibatch_stddev
from xfer.stylegan2.layouts import discriminator_from


@dataclass(frozen=True)
class DiscriminatorConfig(Sizes):
    """Sizes of a discriminator."""

    stddev_group: int = 4
    """Samples that share one minibatch standard deviation."""

    @classmethod
    def beside(cls, generator: Sizes) -> "DiscriminatorConfig":
        """For the images of a generator, and as wide."""
        return cls(**{field.name: getattr(generator, field.name) for field in fields(Sizes)})


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second halving the resolution, beside a 1x1 skip."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv0 = Conv(in_channels, in_channels, 3)
        self.conv1 = Conv(in_channels, out_channels, 3, down=True)
        self.skip = Conv(in_channels, out_channels, 1, act="linear", down=True, bias=False)

    def forward(
        self, x: Features, clamp: float | None = None
    ) -> Float[Tensor, "batch out_channels height_out width_out"]:
        # The sum of two branches keeps unit variance: each is scaled by 1/sqrt(2).
        half_power = math.sqrt(0.5)
        skip = self.skip(x, gain=half_power)
        return self.conv1(self.conv0(x, clamp=clamp), gain=half_power, clamp=clamp) + skip


class Discriminator(Storable, nn.Module):
    """Images to logits: positive means real."""

    role = "discriminator"

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        resolutions = [2**i for i in range(config.resolution.bit_length() - 1, 2, -1)]
        self.from_rgb = Conv(3, config.channels(config.resolution), 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(config.channels(r), config.channels(r // 2)) for r in resolutions
        )
        width = config.channels(4)
        self.conv = Conv(width + 1, width, 3)
        self.linear = Linear(width * 16, width, act="lrelu")
        self.out = Linear(width, 1)

    @classmethod
    def unpack(cls, network: Network) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(DiscriminatorConfig, network), network.tensors
        arguments, state = discriminator_from(network)
        return DiscriminatorConfig(**arguments), state

    def forward(self, image: Image) -> Logits:
        edge, clamp = self.config.resolution, self.config.conv_clamp
        if image.shape[2:] != (edge, edge):
            got = f"{image.shape[3]} x {image.shape[2]}"
            raise BadValue(f"this discriminator takes images of {edge} px; got {got}")
        x = self.from_rgb(image.contiguous(memory_format=torch.channels_last), clamp=clamp)
        for block in self.blocks:
            x = block(x, clamp=clamp)
        x = self.conv(minibatch_stddev(x, self.config.stddev_group), clamp=clamp)
        return self.out(self.linear(x.flatten(1)))
