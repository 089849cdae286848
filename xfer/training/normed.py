"""A critic with batch norms, which catches up with any generator within hundreds of pictures.

Source: Radford et al., "Unsupervised Representation Learning with DCGAN", ICLR 2016.

StyleGAN2's own critic has no norms and learns slowly: shown the pictures of a trained generator
anew, it tells nothing for tens of thousands of them. It is of use where it has grown up with its
generator.
"""

import torch
from torch import nn

from xfer.axes import Image, Logits
from xfer.precision import autocast, full
from xfer.stylegan2.layers import minibatch_stddev

EDGE = 4
"""Pixels along the edge of the features that are read as a whole."""
MOST = 4
"""Widths double with every halving, up to so many times the first."""


class NormedDiscriminator(nn.Module):
    """Pictures to logits: positive means real.

    The norms know nothing but the batch at hand, which is all real or all drawn.

    Args:
        resolution: Edge of the pictures in pixels; a power of two.
        width: Channels at half of that resolution.
        stddev_group: Samples that share one minibatch standard deviation.
    """

    def __init__(self, resolution: int, width: int = 64, stddev_group: int = 4):
        super().__init__()
        self.stddev_group = stddev_group
        layers: list[nn.Module] = []
        channels, edge, wider = 3, resolution, width
        while edge > EDGE:
            layers.append(nn.Conv2d(channels, wider, 4, 2, 1, bias=not layers))
            if layers[1:]:  # the first sees the colours of the batch as they are
                layers.append(nn.BatchNorm2d(wider, track_running_stats=False))
            layers.append(nn.LeakyReLU(0.2))
            channels, edge, wider = wider, edge // 2, min(2 * wider, MOST * width)
        self.features = nn.Sequential(*layers)
        self.verdict = nn.Linear((channels + 1) * EDGE**2, 1)

    def forward(self, image: Image, half: torch.dtype | None = None) -> Logits:
        """Args: `half` is the data type of convolutions; None for float32."""
        with autocast(half, image.device):
            x = self.features(image.contiguous(memory_format=torch.channels_last))
        return self.verdict(minibatch_stddev(full(x), self.stddev_group).flatten(1))
