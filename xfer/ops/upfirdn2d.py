"""Pad, upsample, filter and downsample images, differentiable to any order."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xfer.errors import BadValue
from xfer.ops import build
from xfer.shapes import Features

Pair = list[int]
"""Along x and y."""
Sides = list[int]
"""Left, right, top, bottom."""
Count = int | torch.SymInt
"""A number that torch.compile may leave open."""
FEW_CHANNELS = 8
"""Below this, depthwise convolutions are fastest in channels-last layout on every size."""
STRIP_ROWS, STRIP_FACTOR, STRIP_TAPS = 4, 2, 64
"""Rows that a thread of `upfirdn2d_strip` computes; largest factor and filter that it serves."""


def setup_filter(taps: Sequence[float] | Tensor) -> Float[Tensor, "taps_y taps_x"]:
    """A float32 filter that sums to one, from a row of taps (used along both axes) or all taps."""
    f = torch.as_tensor(taps, dtype=torch.float32)
    f = torch.outer(f, f) if f.ndim == 1 else f
    return f / f.sum()


def upfirdn2d(
    x: Features,
    f: Float[Tensor, "taps_y taps_x"],
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    gain: float = 1.0,
) -> Float[Tensor, "batch channels height_out width_out"]:
    """Insert zeros, pad, convolve with `f`, keep every `down`-th sample.

    Along an axis of n samples and T taps, `(n * up + pad_0 + pad_1 - T) // down + 1` come out, in
    the layout of `x` (contiguous or channels-last).

    Args:
        f: The filter, a constant.
        up: Every sample is followed by `up - 1` zeros.
        padding: Zeros added around the upsampled image: one number, or (left, right, top, bottom);
            negative numbers crop.
        gain: Factor on the output.
    """
    sides = [padding] * 4 if isinstance(padding, int) else list(padding)
    if min(_output_size(x, f, [up, up], [down, down], sides)) <= 0:
        taps, samples = (" x ".join(map(str, t.shape[-2:])) for t in (f, x))
        raise BadValue(f"a filter of {taps} taps leaves nothing of {samples} samples: pad more")
    f, gain = f.to(torch.float32), float(gain)
    return torch.ops.xfer.upfirdn2d(x, f, [up, up], [down, down], sides, False, gain)


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
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Sides, flip_filter: bool, gain: float
) -> Tensor:
    """`flip_filter` correlates instead of convolving, as the gradient of a convolution does."""
    y = _empty_output(x, f, up, down, padding)
    if build.has_work_for_kernels(y):
        x, f = x.contiguous(memory_format=_layout(x)), f.contiguous()
        if build.launch_or_explain(_launch(x, f, y, up, down, padding, flip_filter, gain)):
            return y
    result = resample(x, f, up, down, padding, flip_filter, gain)
    return result if result.stride() == y.stride() and result.dtype == y.dtype else y.copy_(result)


@_upfirdn2d.register_fake
def _(x, f, up, down, padding, flip_filter, gain):
    return _empty_output(x, f, up, down, padding)


def _layout(x: Tensor) -> torch.memory_format:
    """That of results shaped after `x`; where both fit, contiguous."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _empty_output(
    x: Tensor, f: Tensor, up: list[Count], down: list[Count], padding: list[Count]
) -> Tensor:
    size = (*x.shape[:2], *_output_size(x, f, up, down, padding))
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_layout(x))


def _save(ctx, inputs, output):
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


_upfirdn2d.register_autograd(_gradient, setup_context=_save)


def resample(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Sides, flip_filter: bool, gain: float
) -> Tensor:
    """The reference in plain PyTorch: one depthwise convolution, transposed where samples are
    inserted, so that no zero is ever stored or multiplied with."""
    # Processors only emulate shorter types here: float32 with both conversions is far faster.
    dtype = x.dtype if x.is_cuda else torch.promote_types(x.dtype, torch.float32)
    f = f.to(torch.promote_types(dtype, torch.float32)) * gain
    if x.shape[1] < FEW_CHANNELS:
        x = x.contiguous(memory_format=torch.channels_last)
    correlate = _correlate if max(up) == 1 else _insert_and_correlate
    flip = flip_filter == (max(up) > 1)  # a transposed convolution turns its filter around
    kernel = (f.flip(0, 1) if flip else f).to(dtype)
    weight = kernel.expand(x.shape[1], 1, -1, -1)
    return correlate(x.to(dtype), weight, up, down, padding)


def _correlate(x: Tensor, weight: Tensor, up: Pair, down: Pair, padding: Sides) -> Tensor:
    left, right, top, bottom = padding
    both = (max(0, min(top, bottom)), max(0, min(left, right)))
    x = _pad(x, [left - both[1], right - both[1], top - both[0], bottom - both[0]])
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=both, groups=x.shape[1])


def _insert_and_correlate(
    x: Tensor, weight: Tensor, up: Pair, down: Pair, padding: Sides
) -> Tensor:
    left, right, top, bottom = padding
    rows, columns = weight.shape[2:]
    # A transposed convolution comes out as if padded by taps - 1 before and taps - up after.
    crops = [columns - 1 - left, columns - up[0] - right, rows - 1 - top, rows - up[1] - bottom]
    both = (max(0, min(crops[2:])), max(0, min(crops[:2])))
    x = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=both, groups=x.shape[1])
    x = _pad(x, [both[1 - axis // 2] - crop for axis, crop in enumerate(crops)])
    return x[:, :, :: down[1], :: down[0]]


def _pad(x: Tensor, sides: list[int]) -> Tensor:
    return F.pad(x, sides) if any(sides) else x


def _launch(
    x: Tensor, f: Tensor, y: Tensor, up: Pair, down: Pair, padding: Sides, flip: bool, gain: float
) -> build.Launch:
    """The kernel for a call. Args: `x` and `y` share a layout, contiguous or channels-last."""
    batch, channels, height, width = x.shape
    planar = x.is_contiguous() and y.is_contiguous()
    outer, inner = (batch * channels, 1) if planar else (batch, channels)
    sizes = (outer, height, width, y.shape[2], y.shape[3], inner)
    (left, _, top, _), (rows, columns) = padding, f.shape
    vec = build.vector_length(inner, x, y)
    strips = outer * -(-y.shape[2] // STRIP_ROWS) * -(-y.shape[3] // up[0]) * inner // vec
    small = max(*up, *down) <= STRIP_FACTOR and f.numel() <= STRIP_TAPS
    # The strip kernel counts threads and the elements of one outer index in 32 bits.
    if small and max(strips, x.numel() // outer, y.numel() // outer) < 2**31:
        steps = (*up, *down, columns, rows, left % up[0], top % up[1], vec)
        kernel = f"upfirdn2d_strip<{build.TYPES[x.dtype]}, {', '.join(map(str, steps))}>"
        rest = (left // up[0], top // up[1], int(flip), float(gain))
        return build.Launch("upfirdn2d.cu", kernel, strips, (x, f, y), (*sizes, *rest))
    rest = (*up, *down, columns, rows, left, top, int(flip), float(gain))
    kernel = f"upfirdn2d_any<{build.TYPES[x.dtype]}>"
    return build.Launch("upfirdn2d.cu", kernel, y.numel(), (x, f, y), (*sizes, *rest))
