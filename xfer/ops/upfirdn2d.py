"""Pad, upsample, filter and downsample a batch of pictures (reference in plain PyTorch)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def setup_filter(taps: Sequence[float]) -> Tensor:
    """The normalised outer product of a row of taps."""
    row = torch.tensor(taps, dtype=torch.float32)
    full = torch.outer(row, row)
    return full / full.sum()


def upfirdn2d(x, f, up=1, down=1, padding=0, flip_filter=False, gain=1.0):
    """Insert zeros, pad (or crop), convolve with `f`, keep every `down`-th sample."""
    padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    n, c, h, w = x.shape
    if up > 1:
        spaced = x.new_zeros(n, c, h * up, w * up)
        spaced[:, :, ::up, ::up] = x
        x = spaced
    kernel = f if flip_filter else f.flip(0, 1)
    kernel = (kernel * gain).to(x.dtype)[None, None].expand(c, 1, -1, -1)
    return F.conv2d(F.pad(x, padding), kernel, groups=c, stride=down)
