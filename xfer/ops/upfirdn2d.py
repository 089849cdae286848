"""Pad, upsample, filter and downsample a batch of pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Features
from xfer.errors import expect


def setup_filter(
    taps: Sequence[float] | Tensor, separable: bool = False
) -> Float[Tensor, " taps"] | Float[Tensor, "taps_y taps_x"]:
    """A float32 filter that sums to one.

    Args:
        taps: A row of taps, or a full two-dimensional filter.
        separable: Keep a row as it is, to be applied along both axes; otherwise it becomes the
            outer product with itself.
    """
    f = torch.as_tensor(taps, dtype=torch.float32)
    expect(f.ndim in (1, 2) and f.numel() > 0, f"a filter has one or two axes; got {f.ndim}")
    expect(f.sum() != 0, "the taps of a filter must not sum to zero, or no scale makes it one")
    expect(f.ndim == 1 or not separable, "only a row of taps can stay separable")
    f = torch.outer(f, f) if f.ndim == 1 and not separable else f
    return f / f.sum()


def upfirdn2d(
    x: Features,
    f: Float[Tensor, " taps"] | Float[Tensor, "taps_y taps_x"],
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Float[Tensor, "batch channels height_out width_out"]:
    """Insert zeros, pad, convolve with `f`, keep every `down`-th sample.

    Per axis, with size n and T taps: the output has `(n * up + pad0 + pad1 - T) // down + 1`
    samples.

    Args:
        f: The filter, a constant: full, or one row of taps used along both axes.
        up: Every sample is followed by `up - 1` zeros.
        padding: Zeros added around the upsampled picture: one number, (x, y), or (left, right,
            top, bottom); negative numbers crop.
        flip_filter: Correlate instead of convolving.
        gain: Factor on the output.
    """
    padding = _four(padding)
    expect(up >= 1 and down >= 1, f"up and down are at least 1; got up={up}, down={down}")
    f = f.to(torch.promote_types(x.dtype, torch.float32))
    f = f * gain if f.ndim == 2 else torch.outer(f, f) * gain
    channels, (rows, columns) = x.shape[1], f.shape
    if up == 1:
        kernel = (f if flip_filter else f.flip(0, 1)).to(x.dtype)
        kernel = kernel[None, None].expand(channels, 1, -1, -1)
        return F.conv2d(F.pad(x, padding), kernel, groups=channels, stride=down)
    kernel = (f.flip(0, 1) if flip_filter else f).to(x.dtype)
    kernel = kernel[None, None].expand(channels, 1, -1, -1)
    x = F.conv_transpose2d(x, kernel, groups=channels, stride=up)
    # The transposed convolution is complete: it holds columns - 1 zeros of padding on the left
    # and columns - up on the right, and so for rows.
    margins = (1 - columns, up - columns, 1 - rows, up - rows)
    x = F.pad(x, [p + m for p, m in zip(padding, margins, strict=True)])
    return x[:, :, ::down, ::down]


def _four(padding: int | Sequence[int]) -> list[int]:
    """One number, (x, y) or (left, right, top, bottom) as the latter."""
    sides = [padding] * 4 if isinstance(padding, int) else list(padding)
    sides = [sides[0], sides[0], sides[1], sides[1]] if len(sides) == 2 else sides
    expect(len(sides) == 4, f"padding is one number, two or four; got {len(sides)}")
    return sides
