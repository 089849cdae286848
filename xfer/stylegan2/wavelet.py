"""The synthesis network of MobileStyleGAN: StyleGAN2 on wavelets, with separable convolutions.

Source: Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis", 2021, arXiv 2104.04767. Its W is that of the StyleGAN2 it was distilled from.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadValue
from xfer.shapes import Features, Image, WPlus
from xfer.stylegan2 import inference
from xfer.stylegan2.layers import InverseHaar, LatentSpace, MappingNetwork, Noise
from xfer.stylegan2.layouts import wavelet_state

WIDTHS = (512, 512, 512, 512, 512, 256, 128, 64)
"""Channels at 4, 8, ..., 512 px."""


class ModulatedConv(nn.Module):
    """Modulation, convolution, noise, bias, leaky ReLU. Demodulation is part of the weights."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, separable: bool
    ):
        super().__init__()
        self.affine = nn.Linear(w_dim, in_channels)
        if separable:  # 3x3 for each channel, then 1x1 across channels
            self.conv = nn.Sequential(
                nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise", torch.zeros(resolution, resolution))

    def forward(
        self, x: Features, style: Float[Tensor, "batch channels"], noise: Tensor | None
    ) -> Float[Tensor, "batch channels_out height width"]:
        """Args: `style` is one gain for every input channel."""
        x = self.conv(x * style[:, :, None, None]) + self.bias[:, None, None]
        return F.leaky_relu(x if noise is None else x + noise, 0.2)


class WaveletBlock(nn.Module):
    """Modulation and inverse Haar transform to twice the resolution, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int):
        super().__init__()
        self.up = nn.Linear(w_dim, in_channels)
        self.haar = InverseHaar()
        sizes = (out_channels, w_dim, resolution)
        self.conv0 = ModulatedConv(in_channels // 4, *sizes, separable=True)
        self.conv1 = ModulatedConv(out_channels, *sizes, separable=True)


class ToWavelets(nn.Module):
    """Modulated 1x1 convolution to the wavelet coefficients of an RGB image."""

    def __init__(self, in_channels: int, w_dim: int):
        super().__init__()
        self.affine = nn.Linear(w_dim, in_channels)
        self.conv = nn.Conv2d(in_channels, 12, 1)

    def forward(
        self, x: Features, style: Float[Tensor, "batch channels"]
    ) -> Float[Tensor, "batch 12 height width"]:
        return self.conv(x * style[:, :, None, None])


PREVIEW_SIZES = (128, 256)
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
        if size not in PREVIEW_SIZES:
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


class WaveletGenerator(LatentSpace, nn.Module):
    """z -> w -> W+ -> style space -> image, with the entries of `Generator`.

    Args:
        widths: Channels at 4, 8, 16, ... px; the image has twice the last of these resolutions.
        w_dim: Length of z and of a style.
    """

    prepare = inference.prepare
    unit_noise = False

    def __init__(self, widths: Sequence[int] = WIDTHS, w_dim: int = 512):
        super().__init__()
        self.z_dim = self.w_dim = w_dim
        self.n_styles, self.resolution = 2 * len(widths), 4 << len(widths)
        self.mapping = MappingNetwork(w_dim, w_dim)
        self.const = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.conv = ModulatedConv(widths[0], widths[0], w_dim, 4, separable=False)
        self.blocks = nn.ModuleList(
            WaveletBlock(a, b, w_dim, 8 << i) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.to_wavelets, self.haar = ToWavelets(widths[-1], w_dim), InverseHaar()
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self._preview: list[Preview] = []  # in a list: it is no part of the generator's weights

    @classmethod
    def load(cls) -> "WaveletGenerator":
        """FFHQ's faces, 1024 px, out of the fetched package; in eval mode on the CPU."""
        with torch.device("meta"):  # the weights come from the files
            generator = cls()
        state = wavelet_state("ffhq") | {"w_mean": torch.zeros(generator.w_dim)}
        generator.load_state_dict(state, assign=True)
        generator.w_mean.copy_(generator.estimate_w_mean()[0])
        return generator.eval()

    @property
    def noise_layers(self) -> list[ModulatedConv]:
        """The convolutions, in the order of use."""
        return [self.conv] + [conv for b in self.blocks for conv in (b.conv0, b.conv1)]

    def styles(self, w_plus: WPlus) -> list[Float[Tensor, "batch _"]]:
        """W+ to style space: one gain for every input channel of every layer.

        In the order of use: the first convolution's; for every block the upsampling's and its two
        convolutions'; the last layer's. A block's upsampling and first convolution share a style.
        """
        self.check(w_plus)
        rows = [(self.conv.affine, 0)]
        for i, block in enumerate(self.blocks):
            up, conv0, conv1 = block.up, block.conv0.affine, block.conv1.affine
            rows += [(up, 2 * i + 1), (conv0, 2 * i + 1), (conv1, 2 * i + 2)]
        rows.append((self.to_wavelets.affine, self.n_styles - 1))
        return [affine(w_plus[:, row]) for affine, row in rows]

    def synthesis_from_styles(
        self,
        styles: Sequence[Tensor],
        noise: Noise = "stored",
        features: dict[str, Tensor] | None = None,
    ) -> Image:
        """Render images from style space (see `styles` for the order).

        Args:
            noise: "stored" (constant), "random" (as strong), "none", or one tensor
                `samples 1 r r` per convolution.
            features: A dictionary to be filled with every convolution's output by name: "4_conv0",
                "8_conv0", "8_conv1", "16_conv0", ...
        """
        x = self._features(styles, noise, features)
        return self.haar(self.to_wavelets(x, styles[-1]))

    def features(self, w_plus: WPlus, upto: int = 128) -> dict[str, Features]:
        """Outputs of the convolutions up to a resolution in pixels, by name as in `synthesis`.

        Far cheaper than the whole image: the last block alone takes a third of the time.
        """
        found: dict[str, Tensor] = {}
        self._features(self.styles(w_plus), "stored", found, upto)
        return found

    @property
    def preview_heads(self) -> Preview:
        """The learned heads of `preview`, loaded on first use."""
        if not self._preview:
            self._preview.append(Preview.load("ffhq-preview").requires_grad_(False))
        return self._preview[0].to(self.const.device)

    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        """A small image (256 or 128 px) by a learned head on inner features; differentiable."""
        resolution = self.preview_heads.head(size)[0].reads
        features = self.features(w_plus, upto=resolution)
        return self.preview_heads(features[f"{resolution}_conv1"], w_plus, size)

    def _features(
        self,
        styles: Sequence[Tensor],
        noise: Noise,
        features: dict[str, Tensor] | None,
        upto: int | None = None,
    ) -> Features:
        noises, gains = iter(self.noise_images(noise, len(styles[0]))), iter(styles)
        x = self.const.expand(len(styles[0]), -1, -1, -1)
        x = self.conv(x, next(gains), next(noises))
        if features is not None:
            features["4_conv0"] = x
        for i, block in enumerate(self.blocks):
            if upto is not None and 8 << i > upto:
                break
            x = block.haar(x * next(gains)[:, :, None, None])
            for k, conv in enumerate((block.conv0, block.conv1)):
                x = conv(x, next(gains), next(noises))
                if features is not None:
                    features[f"{8 << i}_conv{k}"] = x
        return x
