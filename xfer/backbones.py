"""IR-SE: the residual network shared by motion encoder, inverter and face recogniser.

Sources: Deng et al., "ArcFace", CVPR 2019 (the improved residual unit); Hu et al.,
"Squeeze-and-Excitation Networks", CVPR 2018.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.errors import BadValue
from xfer.shapes import Features, Image

PUBLIC_NAMES = {
    r"^input_layer\.": "backbone.stem.",
    r"^body\.(\d+)\.res_layer\.": r"backbone.blocks.\1.residual.",
    r"^body\.(\d+)\.shortcut_layer\.": r"backbone.blocks.\1.shortcut.",
}
"""Tensor names of the public IR-SE files, as patterns, and ours."""


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of an IR-SE backbone. The defaults are the 50 layers of the public files."""

    resolution: int = 256
    """Edge of the input in pixels; every stage halves it."""
    in_channels: int = 3
    channels: tuple[int, ...] = (64, 128, 256, 512)
    """Width of each stage; the input convolution has the first."""
    blocks: tuple[int, ...] = (3, 4, 14, 3)
    """Residual units of each stage."""
    reduction: int = 16
    """Squeeze-and-excitation passes through channels / reduction numbers."""

    def __post_init__(self):
        if len(self.channels) != len(self.blocks) or self.resolution % 2 ** len(self.blocks):
            rule = "a stage of an IR-SE backbone has a width and units and halves the resolution"
            raise BadValue(f"{rule}; got {self.channels}, {self.blocks} and {self.resolution} px")

    @property
    def features(self) -> int:
        """Edge of the output in pixels."""
        return self.resolution >> len(self.channels)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gain in (0, 1) computed from all channels' means."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Features) -> Features:
        gains = self.fc2(F.relu(self.fc1(x.mean((2, 3))))).sigmoid()
        return x * gains[:, :, None, None]


class Bottleneck(nn.Module):
    """Residual unit: BN, conv, PReLU, conv (stride), BN, squeeze-excitation, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, reduction: int):
        super().__init__()
        self.stride = stride
        self.residual = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcitation(out_channels, reduction),
        )
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Features) -> Float[Tensor, "batch out_channels height_out width_out"]:
        strided = x[:, :, :: self.stride, :: self.stride]
        return self.residual(x) + (self.shortcut(x) if self.shortcut else strided)


class Backbone(nn.Module):
    """Images to features of 1 / 2^stages their size."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        width = config.channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(config.in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
        )
        units = []
        for channels, count in zip(config.channels, config.blocks, strict=True):
            for i in range(count):
                stride = 2 if i == 0 else 1
                units.append(Bottleneck(width, channels, stride, config.reduction))
                width = channels
        self.blocks = nn.Sequential(*units)

    def forward(self, x: Features) -> Float[Tensor, "batch out_channels height_out width_out"]:
        """In the data type of the weights, whichever the images come in."""
        x = x.to(self.stem[0].weight.dtype).contiguous(memory_format=torch.channels_last)
        return self.blocks(self.stem(x))


def fit(image: Image, resolution: int) -> Float[Tensor, "batch 3 resolution resolution"]:
    """Images at the size that a network reads: area means when shrinking, else bilinear.

    The means are those of adaptive average pooling, as in the public networks.
    """
    height, width = image.shape[2:]
    if (height, width) == (resolution, resolution):
        return image
    if min(height, width) >= resolution:
        return F.adaptive_avg_pool2d(image, resolution)
    return F.interpolate(
        image, (resolution, resolution), mode="bilinear", align_corners=False, antialias=True
    )


def translate(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of a public IR-SE network under our names.

    Args:
        names: The network's own patterns and replacements, beside those of the backbone.
    """
    table = {re.compile(old): new for old, new in {**PUBLIC_NAMES, **names}.items()}
    translated = {}
    for name, tensor in tensors.items():
        for old, new in table.items():
            name = old.sub(new, name)
        # Squeeze-and-excitation is stored as 1x1 convolutions.
        squeeze = re.search(r"\.fc[12]\.weight$", name) and tensor.ndim == 4
        translated[name] = tensor.flatten(1) if squeeze else tensor
    return translated


def sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a backbone's tensors (under our names) tell of its configuration.

    A stage is taken to end where the width changes. The resolution is not among them.
    """
    widths: dict[int, int] = {}
    for name, tensor in tensors.items():
        if match := re.match(r"backbone\.blocks\.(\d+)\.residual\.3\.weight$", name):
            widths[int(match[1])] = tensor.shape[0]
    channels = tuple(dict.fromkeys(widths[i] for i in sorted(widths)))
    hidden, width = tensors["backbone.blocks.0.residual.5.fc1.weight"].shape
    return {
        "in_channels": tensors["backbone.stem.0.weight"].shape[1],
        "channels": channels,
        "blocks": tuple(list(widths.values()).count(c) for c in channels),
        "reduction": width // hidden,
    }
