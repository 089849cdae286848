"""Layers of StyleGAN2: equalised learning rate, modulated convolution, resampling.

Sources: Karras et al., "Progressive Growing of GANs", 2018 (equalised learning rate, minibatch
standard deviation); "Analyzing and Improving the Image Quality of StyleGAN", 2020 (the rest).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.devices import full
from xfer.errors import expect
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d
from xfer.shapes import Features

BLUR = (1.0, 3.0, 3.0, 1.0)
"""Taps of the low-pass filter around every change of resolution."""

DEMODULATION_EPSILON = 1e-8


def pixel_norm(x: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
    """Scale every row to unit mean square."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


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
        if (
            x.dtype == torch.float16
        ):  # keep products inside the range of float16; demodulation undoes it
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
    expect(group >= 1, f"a group holds at least one sample; got {group}")
    group = next(g for g in range(min(group, batch), 0, -1) if batch % g == 0)
    y = x.reshape(group, -1, channels, height, width)
    y = (full(y).var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    y = y.to(x.dtype).repeat(group).view(batch, 1, 1, 1).expand(batch, 1, height, width)
    return torch.cat([x, y], dim=1)
