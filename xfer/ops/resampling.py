"""upfirdn2d in plain PyTorch: one depthwise convolution, transposed where samples are inserted.

No zero is ever stored or multiplied with: a transposed convolution skips those between samples, a
strided one skips the outputs that are not kept.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_CHANNELS = 8
"""Below this, depthwise convolutions are fastest in channels-last layout on every size."""


def resample(
    x: Tensor,
    f: Tensor,
    up: list[int],
    down: list[int],
    padding: list[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    """upfirdn2d with a full filter; pairs are (x, y), the four sides left, right, top, bottom."""
    dtype = _arithmetic(x, inserting=max(up) > 1)
    f = f.to(torch.promote_types(dtype, torch.float32)) * gain
    if x.shape[1] < FEW_CHANNELS:
        x = x.contiguous(memory_format=torch.channels_last)
    correlate = _correlate if max(up) == 1 else _insert_and_correlate
    flip = flip_filter == (max(up) > 1)  # a transposed convolution turns its filter around
    kernel = (f.flip(0, 1) if flip else f).to(dtype)
    return correlate(x.to(dtype), kernel, up, down, padding)


def _correlate(
    x: Tensor, kernel: Tensor, up: list[int], down: list[int], padding: list[int]
) -> Tensor:
    left, right, top, bottom = padding
    both = (max(0, min(top, bottom)), max(0, min(left, right)))
    x = _pad(x, [left - both[1], right - both[1], top - both[0], bottom - both[0]])
    weight, channels = _depthwise(kernel, x)
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=both, groups=channels)


def _insert_and_correlate(
    x: Tensor, kernel: Tensor, up: list[int], down: list[int], padding: list[int]
) -> Tensor:
    left, right, top, bottom = padding
    rows, columns = kernel.shape
    # A transposed convolution comes out as if padded by taps - 1 before and taps - up after.
    crops = [columns - 1 - left, columns - up[0] - right, rows - 1 - top, rows - up[1] - bottom]
    both = (max(0, min(crops[2:])), max(0, min(crops[:2])))
    weight, channels = _depthwise(kernel, x)
    x = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=both, groups=channels)
    x = _pad(x, [both[1 - axis // 2] - crop for axis, crop in enumerate(crops)])
    return x[:, :, :: down[1], :: down[0]]


def _pad(x: Tensor, sides: list[int]) -> Tensor:
    return F.pad(x, sides) if any(sides) else x


def _depthwise(kernel: Tensor, x: Tensor) -> tuple[Tensor, int]:
    """The same kernel for every channel, and the number of channels."""
    return kernel.expand(x.shape[1], 1, -1, -1), x.shape[1]


def _arithmetic(x: Tensor, inserting: bool) -> torch.dtype:
    """The type to compute in: float32 where a processor would only emulate a shorter one.

    No processor has a fast transposed depthwise convolution in bfloat16: it takes 50 to 200 times
    as long as one in float32 with both conversions.
    """
    if x.dtype in (torch.float32, torch.float64):
        return x.dtype
    native = x.is_cuda or (
        x.dtype == torch.bfloat16 and not inserting and _has_bfloat16_instructions()
    )
    return x.dtype if native else torch.float32


@functools.cache
def _has_bfloat16_instructions() -> bool:
    return torch.cpu.get_capabilities().get("avx512_bf16", False)
