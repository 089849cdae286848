"""StyleGAN2's synthesis as public code does it on a CPU: the form that speed is measured against.

Per-sample modulated and demodulated weights, one grouped convolution for the whole batch, blur and
upsampling by explicit zero insertion, padding and a depthwise convolution with the full 4x4 filter.
The weights are those of one of our generators.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xfer.stylegan2.generator import Generator


def upfirdn(x: Tensor, kernel: Tensor, up: int, pad: tuple[int, int]) -> Tensor:
    """Insert zeros, pad, convolve every channel with the full filter."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels, 1, height, 1, width, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1]).reshape(batch * channels, 1, height * up, width * up)
    x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    x = F.conv2d(x, kernel.flip(0, 1)[None, None])
    return x.reshape(batch, channels, x.shape[2], x.shape[3])


def modulated(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: bool) -> Tensor:
    """Equations 1 and 3 on the weights, then a grouped convolution."""
    batch, _, height, width = x.shape
    out, channels, k, _ = weight.shape
    own = weight[None] / math.sqrt(channels * k * k) * styles[:, None, :, None, None]
    if demodulate:
        own = own * torch.rsqrt(own.square().sum((2, 3, 4)) + 1e-8)[:, :, None, None, None]
    x = x.reshape(1, batch * channels, height, width)
    if up:
        own = own.transpose(1, 2).reshape(batch * channels, out, k, k)
        x = F.conv_transpose2d(x, own, stride=2, groups=batch)
    else:
        x = F.conv2d(x, own.reshape(batch * out, channels, k, k), padding=k // 2, groups=batch)
    return x.reshape(batch, out, x.shape[2], x.shape[3])


@torch.no_grad()
def synthesis(g: Generator, w_plus: Tensor) -> Tensor:
    """Pictures with stored noise, as the public generators compute them."""
    kernel, styles, layer, rgb = g.blur * 4, iter(g.styles(w_plus)), 0, None
    x = g.const[None].expand(len(w_plus), -1, -1, -1).contiguous()
    for i, resolution in enumerate(g.config.resolutions):
        for _ in range(1 if resolution == 4 else 2):
            part = g.layers[layer]
            x = modulated(x, part.weight, next(styles), True, part.up)
            if part.up:
                x = upfirdn(x, kernel, 1, (1, 1))
            x = x + part.noise_strength * part.noise
            x = F.leaky_relu(x + part.bias[None, :, None, None], 0.2) * math.sqrt(2)
            layer += 1
        part = g.to_rgb[i]
        drawn = modulated(x, part.weight, next(styles), False, False)
        drawn = drawn + part.bias[None, :, None, None]
        rgb = drawn if rgb is None else upfirdn(rgb, kernel, 2, (2, 1)) + drawn
    return rgb
