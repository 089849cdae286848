"""Pad, upsample, filter and downsample pictures: definition, registration, gradient."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.errors import expect
from xfer.ops import build
from xfer.ops.launches import is_channels_last, upfirdn2d_launch
from xfer.ops.resampling import resample
from xfer.shapes import Features

Count = int | torch.SymInt
"""A number that torch.compile may leave open."""

ONE_PASS_TAPS = 8
"""A separable filter with more taps than this is applied along one axis after the other."""


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
    expect(f.sum() != 0, "the taps of a filter must not sum to zero: no factor makes them sum to 1")
    expect(f.ndim == 1 or not separable, "only a row of taps can stay separable; got two axes")
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

    Along an axis of n samples and T taps, `(n * up + pad_0 + pad_1 - T) // down + 1` come out, in
    the layout of `x` (contiguous or channels-last). Differentiable in `x` to any order.

    Args:
        f: The filter, a constant: full, or one row of taps used along both axes.
        up: Every sample is followed by `up - 1` zeros.
        padding: Zeros added around the upsampled picture: one number, (x, y), or (left, right,
            top, bottom); negative numbers crop.
        flip_filter: Correlate instead of convolving.
        gain: Factor on the output.
    """
    left, right, top, bottom = _sides(padding)
    expect(up >= 1 and down >= 1, f"up and down are 1 or more; got up={up} and down={down}")
    expect(not f.requires_grad, "the filter is a constant: pass f.detach()")
    expect(f.device == x.device, f"the filter is on {f.device}, x on {x.device}: move one")
    f, gain = f.to(torch.float32), float(gain)
    if f.ndim == 1 and f.shape[0] <= ONE_PASS_TAPS:
        f = torch.outer(f, f)
    if f.ndim == 2:
        sides = [left, right, top, bottom]
        return _checked(x, f, [up, up], [down, down], sides, flip_filter, gain)
    x = _checked(x, f[None, :], [up, 1], [down, 1], [left, right, 0, 0], flip_filter, 1.0)
    return _checked(x, f[:, None], [1, up], [1, down], [0, 0, top, bottom], flip_filter, gain)


def _sides(padding: int | Sequence[int]) -> list[int]:
    """One number, (x, y) or (left, right, top, bottom) as the latter."""
    sides = [padding] * 4 if isinstance(padding, int) else list(padding)
    sides = [sides[0], sides[0], sides[1], sides[1]] if len(sides) == 2 else sides
    expect(len(sides) == 4, f"padding is one number, two or four; got {len(sides)}")
    return sides


def _checked(
    x: Tensor,
    f: Tensor,
    up: list[int],
    down: list[int],
    padding: list[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    height, width = _output_size(x, f, up, down, padding)
    expect(
        height > 0 and width > 0,
        f"a filter of {f.shape[0]} x {f.shape[1]} taps leaves nothing of {x.shape[2]} x "
        f"{x.shape[3]} samples with up={up}, padding={padding}: pad more",
    )
    return torch.ops.xfer.upfirdn2d(x, f, up, down, padding, flip_filter, gain)


def _output_size(
    x: Tensor, f: Tensor, up: list[Count], down: list[Count], padding: list[Count]
) -> tuple[Count, Count]:
    left, right, top, bottom = padding
    return (
        (x.shape[2] * up[1] + top + bottom - f.shape[0]) // down[1] + 1,
        (x.shape[3] * up[0] + left + right - f.shape[1]) // down[0] + 1,
    )


@torch.library.custom_op("xfer::upfirdn2d", mutates_args=())
def _upfirdn2d(
    x: Tensor,
    f: Tensor,
    up: list[int],
    down: list[int],
    padding: list[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    """Pairs are (x, y), the four sides left, right, top, bottom."""
    y = _empty_output(x, f, up, down, padding)
    if build.has_work_for_kernels(y):
        x, f = x.contiguous(memory_format=_layout(x)), f.contiguous()
        launch = upfirdn2d_launch(x, f, y, up, down, padding, flip_filter, gain)
        if build.launch_or_explain(launch):
            return y
    result = resample(x, f, up, down, padding, flip_filter, gain)
    return result if result.stride() == y.stride() and result.dtype == y.dtype else y.copy_(result)


@_upfirdn2d.register_fake
def _(x, f, up, down, padding, flip_filter, gain):
    return _empty_output(x, f, up, down, padding)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def _empty_output(
    x: Tensor, f: Tensor, up: list[Count], down: list[Count], padding: list[Count]
) -> Tensor:
    size = (*x.shape[:2], *_output_size(x, f, up, down, padding))
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_layout(x))


def _keep(ctx, inputs, output):
    x, f, ctx.up, ctx.down, ctx.padding, ctx.flip_filter, ctx.gain = inputs
    ctx.size, ctx.size_out = x.shape[2:], output.shape[2:]
    ctx.save_for_backward(f)


def _gradient(ctx, d):
    """Up and down change places and the filter turns around."""
    (f,) = ctx.saved_tensors
    (up_x, up_y), (down_x, down_y), (left, _, top, _) = ctx.up, ctx.down, ctx.padding
    (taps_y, taps_x), (height, width), (height_out, width_out) = f.shape, ctx.size, ctx.size_out
    padding = [
        taps_x - 1 - left,
        (width - 1) * up_x + left + 1 - width_out * down_x,
        taps_y - 1 - top,
        (height - 1) * up_y + top + 1 - height_out * down_y,
    ]
    d = torch.ops.xfer.upfirdn2d(d, f, ctx.down, ctx.up, padding, not ctx.flip_filter, ctx.gain)
    return d, None, None, None, None, None, None


_upfirdn2d.register_autograd(_gradient, setup_context=_keep)
