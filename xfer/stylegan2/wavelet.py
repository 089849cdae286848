"""The synthesis network of MobileStyleGAN: StyleGAN2 on wavelets, with separable convolutions.

Source: Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis", 2021, arXiv 2104.04767. Its W is that of the StyleGAN2 it was distilled from.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.assets import asset_path
from xfer.errors import BadFile
from xfer.shapes import Features, Image, WPlus
from xfer.stylegan2 import inference
from xfer.stylegan2.layers import InverseHaar, LatentSpace, MappingNetwork, Noise
from xfer.stylegan2.preview import Preview

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
        state = _mapping_state(read_constants("ffhq-mapping"))
        state |= _synthesis_state(read_constants("ffhq-synthesis"))
        state["w_mean"] = np.zeros(generator.w_dim, np.float32)
        generator.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, assign=True)
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


Constants = list[tuple[str, np.ndarray]]


def read_constants(network: str) -> Constants:
    """Names and float32 values of an OpenVINO network's constants, in the order of use."""
    import openvino

    path = asset_path(f"{network}.xml")
    try:
        operations = openvino.Core().read_model(path).get_ordered_ops()
    except RuntimeError as error:
        raise BadFile(f"{path} is no whole OpenVINO network: fetch it again") from error
    return [
        (operation.get_friendly_name(), operation.data.copy())
        for operation in operations
        if operation.get_type_name() == "Constant" and operation.data.dtype == np.float32
    ]


def _mapping_state(constants: Constants) -> dict[str, np.ndarray]:
    """The file's layers have the equalised learning rate multiplied out; ours do not."""
    state = {}
    weights = [v for _, v in constants if v.shape == (512, 512)]
    biases = [v.reshape(-1) for _, v in constants if v.size == 512]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        state[f"mapping.layers.{i}.weight"] = weight * (math.sqrt(512) / 0.01)
        state[f"mapping.layers.{i}.bias"] = bias / 0.01
    return state


def _synthesis_state(constants: Constants) -> dict[str, np.ndarray]:
    """Weights under our names, with the equalised learning rate moved into the convolutions."""
    named = {name.removeprefix("m."): v for name, v in constants if name.startswith("m.")}
    unnamed = [v for name, v in constants if not name.startswith("m.") and v.ndim == 4]
    dense = iter([v for v in unnamed if v.shape[0] > 1])
    noises = iter([v[0, 0] for v in unnamed if v.shape[:2] == (1, 1) and v.shape[2] > 1])
    state = {"const": named["input.input"][0]}

    def affine(theirs: str, ours: str) -> None:
        state[f"{ours}.weight"] = named[f"{theirs}.modulation.weight"]
        state[f"{ours}.bias"] = named[f"{theirs}.modulation.bias"].reshape(-1)

    def conv(theirs: str, ours: str) -> None:
        affine(f"{theirs}.conv", f"{ours}.affine")
        state[f"{ours}.bias"] = named[f"{theirs}.bias"].reshape(-1)
        state[f"{ours}.noise"] = next(noises)

    conv("conv1", "conv")
    weight = next(dense)
    state["conv.conv.weight"] = weight / math.sqrt(weight[0].size)
    for i in range(len(WIDTHS) - 1):
        affine(f"layers.{i}.up", f"blocks.{i}.up")
        for k in (0, 1):
            theirs, ours = f"layers.{i}.conv{k + 1}", f"blocks.{i}.conv{k}"
            conv(theirs, ours)
            depthwise = named[f"{theirs}.conv.weight_dw"][:, :, 0]
            state[f"{ours}.conv.0.weight"] = depthwise / math.sqrt(9 * len(depthwise))
            state[f"{ours}.conv.1.weight"] = next(dense)
    last = f"layers.{len(WIDTHS) - 2}.to_img"
    affine(f"{last}.conv", "to_wavelets.affine")
    weight = named[f"{last}.conv.weight"]
    state["to_wavelets.conv.weight"] = weight / math.sqrt(weight[0].size)
    state["to_wavelets.conv.bias"] = named[f"{last}.bias"].reshape(-1)
    return state
