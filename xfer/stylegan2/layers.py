"""Layers of StyleGAN2: equalised learning rate, modulated convolution, resampling.

Sources: Karras et al., "Progressive Growing of GANs", 2018 (equalised learning rate, minibatch
standard deviation); "Analyzing and Improving the Image Quality of StyleGAN", 2020 (the rest).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.devices import full
from xfer.errors import BadValue
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d
from xfer.shapes import Features, Image, W, WPlus, Z

BLUR = (1.0, 3.0, 3.0, 1.0)
"""Taps of the low-pass filter around every change of resolution."""

DEMODULATION_EPSILON = 1e-8

Noise = str | Sequence[Tensor]
"""Where noise comes from: "stored", "random", "none", or one tensor `samples 1 r r` per layer."""


@dataclass(frozen=True)
class Sizes:
    """Settings that generator and discriminator share."""

    resolution: int = 1024
    """Edge of the image in pixels: a power of two, 8 to 1024."""
    _: KW_ONLY
    channel_base: int = 32768
    """A layer at resolution r has min(channel_base / r, channel_max) channels."""
    channel_max: int = 512
    conv_clamp: float | None = None
    """Bound of every layer's output; needed for float16."""
    half_resolutions: int = 4
    """How many of the highest resolutions run in half precision when it is asked for."""

    def __post_init__(self):
        if self.resolution not in [2**i for i in range(3, 11)]:
            raise BadValue(f"a resolution is a power of two, 8 to 1024; got {self.resolution}")

    def channels(self, resolution: int) -> int:
        """Width of the layers at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


class Linear(nn.Module):
    """Fully connected layer with equalised learning rate.

    The stored weight has unit variance over `lr_multiplier`; the effective one is
    `weight * lr_multiplier / sqrt(in_features)`, the effective bias `bias * lr_multiplier`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        act: str = "linear",
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
    ):
        super().__init__()
        self.act, self.lr_multiplier = act, lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(
        self, x: Float[Tensor, "*batch in_features"]
    ) -> Float[Tensor, "*batch out_features"]:
        weight = self.weight * (self.lr_multiplier / math.sqrt(self.weight.shape[1]))
        bias = self.bias * self.lr_multiplier
        x, weight, bias = (t.to(x.dtype) for t in (x, weight, bias))
        if self.act == "linear":
            return F.linear(x, weight, bias)
        return bias_act(F.linear(x, weight), bias, dim=x.ndim - 1, act=self.act)


class InverseHaar(nn.Module):
    """Inverse Haar transform: a low band and three details a channel become twice the resolution.

    Channels come as all low bands, then for every one its details lh, hl, hh.
    """

    def forward(self, x: Features) -> Float[Tensor, "batch channels_out height_out width_out"]:
        """A quarter of the channels, twice the height and width."""
        channels = x.shape[1]
        low, details = x[:, : channels // 4], x[:, channels // 4 :]
        lh, hl, hh = details.unflatten(1, (channels // 4, 3)).unbind(2)
        top, bottom, left_top, left_bottom = low + lh, low - lh, hl + hh, hl - hh
        corners = (top + left_top, top - left_top, bottom + left_bottom, bottom - left_bottom)
        return F.pixel_shuffle(torch.stack(corners, 2).flatten(1, 2) * 0.5, 2)


class MappingNetwork(nn.Module):
    """Z to W: pixel norm, then fully connected layers with leaky ReLU."""

    def __init__(self, z_dim: int, w_dim: int, n_layers: int = 8, lr_multiplier: float = 0.01):
        super().__init__()
        self.z_dim = z_dim
        widths = [z_dim] + [w_dim] * n_layers
        self.layers = nn.ModuleList(
            Linear(a, b, act="lrelu", lr_multiplier=lr_multiplier)
            for a, b in itertools.pairwise(widths)
        )

    def forward(self, z: Z) -> W:
        """Args: `z` is standard normal; its length does not matter."""
        x = F.rms_norm(z, z.shape[1:], eps=1e-8)  # the pixel norm
        for layer in self.layers:
            x = layer(x)
        return x


class LatentSpace:
    """What every generator does with its latents and its noise.

    It needs `mapping`, `styles`, `synthesis_from_styles`, `noise_layers`, `w_mean` and the sizes
    `z_dim`, `w_dim` and `n_styles`. A generator for the pipeline has `resolution`, `preview` and
    `prepare(size)` besides; what `prepare` gives has `synthesis`, `frames` and `stream`.
    """

    unit_noise = True
    """Whether random noise has unit variance; else it is as strong as the stored one."""

    def forward(
        self, z: Z, psi: float = 1.0, noise: Noise = "stored"
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        """Random images: mapping, truncation, synthesis."""
        return self.synthesis(self.truncate(self.to_w_plus(self.mapping(z)), psi), noise)

    def synthesis(self, w_plus: WPlus | W, noise: Noise = "stored", **options: Any) -> Image:
        """Render images from styles, one per layer or one for all.

        Args:
            options: As `synthesis_from_styles` has them.
        """
        w_plus = self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus
        return self.synthesis_from_styles(self.styles(w_plus), noise, **options)

    def noise_images(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """One image of noise a layer, or None, for any choice of noise."""
        if not isinstance(noise, str):
            return list(noise)
        stored = [layer.noise[None, None] for layer in self.noise_layers]
        if noise == "none":
            return [None] * len(stored)
        if noise == "stored":
            return stored
        if noise != "random":
            raise BadValue(f"noise is stored, random or none; got {noise!r}")
        strengths = [1 if self.unit_noise else image.std() for image in stored]
        return [
            strength * torch.randn_like(image.expand(batch, -1, -1, -1))
            for image, strength in zip(stored, strengths, strict=True)
        ]

    def to_w_plus(self, w: W) -> WPlus:
        """The same style for every layer."""
        return w[:, None].expand(-1, self.n_styles, -1)

    def truncate(self, w_plus: WPlus, psi: float) -> WPlus:
        """Move styles towards the mean, keeping `psi` of the way.

        Source: StyleGAN (Karras et al., 2019), section B of the appendix.
        """
        if not 0.0 <= psi <= 1.0:
            raise BadValue(f"psi is the share of the way from the mean to w, 0 to 1; got {psi}")
        if psi == 1.0:  # exact, also where w_mean is unknown
            return w_plus
        return self.w_mean.to(w_plus.dtype).lerp(w_plus, psi)

    def check(self, w_plus: Tensor) -> None:
        """Raise `BadValue` unless it is a W+ of this generator."""
        if tuple(w_plus.shape[1:]) != (self.n_styles, self.w_dim):
            wanted, got = f"{self.n_styles} styles x {self.w_dim}", map(str, w_plus.shape[1:])
            raise BadValue(f"this generator takes W+ of {wanted}; got {' x '.join(got)}")

    def mix(self, first: WPlus, second: WPlus, at: int) -> WPlus:
        """Style mixing: `first` for the styles below `at`, `second` from there on."""
        return torch.cat([first[:, :at], second[:, at:]], dim=1)

    @torch.no_grad()
    def estimate_w_mean(self, samples: int = 10_000, seed: int = 0) -> W:
        """Mean of `samples` random w as `1 w_dim`, for files that carry none."""
        rng = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(self.w_mean)
        for start in range(0, samples, 1000):
            z = torch.randn(min(1000, samples - start), self.z_dim, generator=rng)
            total += self.mapping(z.to(self.w_mean)).sum(0)
        return (total / samples)[None]


class Conv(nn.Module):
    """Convolution with equalised learning rate, optionally halving the resolution by a blur."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        act: str = "lrelu",
        down: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        self.act, self.down = act, down
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("blur", setup_filter(BLUR), persistent=False)

    def forward(
        self, x: Features, gain: float = 1.0, clamp: float | None = None
    ) -> Float[Tensor, "batch out_channels height_out width_out"]:
        """Convolve, add the bias, activate; `gain` scales the output beside the act's own gain."""
        kernel = self.weight.shape[2]
        weight = (self.weight / math.sqrt(self.weight[0].numel())).to(x.dtype)
        if not self.down:
            x = F.conv2d(x, weight, padding=kernel // 2)
        elif kernel == 1:  # the blur and the stride commute with a 1x1 convolution
            x = F.conv2d(upfirdn2d(x, self.blur, down=2, padding=1), weight)
        else:
            x = F.conv2d(upfirdn2d(x, self.blur, padding=kernel // 2 + 1), weight, stride=2)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        act_gain = gain * (math.sqrt(2) if self.act == "lrelu" else 1.0)
        return bias_act(
            x, bias, act=self.act, gain=act_gain, clamp=None if clamp is None else clamp * gain
        )


def modulated_conv2d(
    x: Features,
    weight: Float[Tensor, "out_channels channels k k"],
    styles: Float[Tensor, "batch channels"],
    demodulate: bool = True,
    up_filter: Float[Tensor, " taps"] | Float[Tensor, "taps taps"] | None = None,
) -> Float[Tensor, "batch out_channels height_out width_out"]:
    """Convolve each sample with its own scaled copy of `weight` (StyleGAN2, Eqs. 1 and 3).

    Modulation scales input channel i by `styles[i]`; demodulation then rescales each output
    channel to unit expected variance. Both are applied to activations instead of weights, so that
    all samples share one convolution.

    Args:
        styles: Per-sample gain of every input channel, near 1.
        demodulate: False for the toRGB layers, which must keep their magnitude.
        up_filter: If given, the output has twice the resolution, low-passed by this filter.
    """
    weight = weight / math.sqrt(weight[0].numel())
    if demodulate:
        if x.dtype == torch.float16:  # keep products inside its range; demodulation undoes it
            weight = weight / weight.abs().amax((1, 2, 3), keepdim=True)
            styles = styles / styles.abs().amax(1, keepdim=True)
        energy = full(styles).square() @ full(weight).square().sum((2, 3)).T
        demodulation = torch.rsqrt(energy + DEMODULATION_EPSILON).to(x.dtype)
    x, weight = x * styles.to(x.dtype)[:, :, None, None], weight.to(x.dtype)
    if up_filter is None:
        x = F.conv2d(x, weight, padding=weight.shape[2] // 2)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = upfirdn2d(x, up_filter, padding=1, gain=4.0)
    return x * demodulation[:, :, None, None] if demodulate else x


class StyledLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU (StyleGAN2, Fig. 2c)."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, *, up: bool
    ):
        super().__init__()
        self.resolution, self.up = resolution, up
        self.affine = Linear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(resolution, resolution))
        self.register_buffer("blur", setup_filter(BLUR), persistent=False)

    def forward(
        self,
        x: Features,
        styles: Float[Tensor, "batch channels"],
        noise: Float[Tensor, "samples 1 resolution resolution"] | None,
        clamp: float | None = None,
    ) -> Float[Tensor, "batch out_channels resolution resolution"]:
        """Args: `noise` is one picture for all samples or one each; `clamp` bounds the output."""
        x = modulated_conv2d(x, self.weight, styles, up_filter=self.blur if self.up else None)
        if noise is not None:
            x = x + (noise * self.noise_strength).to(x.dtype)
        return bias_act(x, self.bias.to(x.dtype), act="lrelu", clamp=clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, w_dim: int):
        super().__init__()
        self.affine = Linear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(
        self, x: Features, styles: Float[Tensor, "batch channels"], clamp: float | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        x = modulated_conv2d(x, self.weight, styles, demodulate=False)
        return full(bias_act(x, self.bias.to(x.dtype), act="linear", clamp=clamp))


def upsample_rgb(
    x: Float[Tensor, "batch 3 height width"], blur: Tensor
) -> Float[Tensor, "batch 3 height_out width_out"]:
    """Twice the resolution by zero insertion and the low-pass filter."""
    return upfirdn2d(x, blur, up=2, padding=(2, 1, 2, 1), gain=4.0)


def minibatch_stddev(x: Features, group: int = 4) -> Float[Tensor, "batch channels+1 height width"]:
    """Append one channel: the mean standard deviation over a group of samples.

    Sample i is grouped with i + batch/group, i + 2 batch/group, ...; a batch that `group` does not
    divide falls back to the largest smaller group that does.
    """
    batch, channels, height, width = x.shape
    group = next(g for g in range(min(group, batch), 0, -1) if batch % g == 0)
    y = x.reshape(group, -1, channels, height, width)
    y = (full(y).var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    y = y.to(x.dtype).repeat(group).view(batch, 1, 1, 1).expand(batch, 1, height, width)
    return torch.cat([x, y], dim=1)
