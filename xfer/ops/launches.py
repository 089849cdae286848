"""Which kernel serves a call, on how many threads and with which arguments."""

from torch import Tensor, bfloat16, channels_last, float16, float32, float64

from xfer.ops.activations import ACTIVATIONS, Settings
from xfer.ops.build import Launch

TYPES = {float32: "float", float64: "double", float16: "Half", bfloat16: "BFloat"}
"""The kernels' names of the types that they know."""

STRIP_ROWS = 4
"""Rows of the output that one thread of `upfirdn2d_strip` computes."""
STRIP_FACTOR, STRIP_TAPS = 2, 64
"""Up to this factor and filter size a filter stays in registers."""
NO_CLAMP = -1.0


def upfirdn2d_launch(
    x: Tensor,
    f: Tensor,
    y: Tensor,
    up: list[int],
    down: list[int],
    padding: list[int],
    flip_filter: bool,
    gain: float,
) -> Launch:
    """Args: `x` and `y` share a layout, contiguous or channels-last; pairs are (x, y)."""
    batch, channels, height, width = x.shape
    planar = x.is_contiguous() and y.is_contiguous()
    outer, inner = (batch * channels, 1) if planar else (batch, channels)
    sizes = (outer, height, width, y.shape[2], y.shape[3], inner)
    (left, _, top, _), (rows, columns) = padding, f.shape
    vec = _vector_length(inner, x, y)
    strips = outer * -(-y.shape[2] // STRIP_ROWS) * -(-y.shape[3] // up[0]) * inner // vec
    small = max(*up, *down) <= STRIP_FACTOR and f.numel() <= STRIP_TAPS
    # The strip kernel counts threads and the elements of one outer index in 32 bits.
    if small and max(strips, x.numel() // outer, y.numel() // outer) < 2**31:
        steps = (*up, *down, columns, rows, left % up[0], top % up[1], vec)
        kernel = f"upfirdn2d_strip<{TYPES[x.dtype]}, {', '.join(map(str, steps))}>"
        rest = (left // up[0], top // up[1], int(flip_filter), float(gain))
        return Launch("upfirdn2d.cu", kernel, strips, (x, f, y), (*sizes, *rest))
    rest = (*up, *down, columns, rows, left, top, int(flip_filter), float(gain))
    kernel = f"upfirdn2d_any<{TYPES[x.dtype]}>"
    return Launch("upfirdn2d.cu", kernel, y.numel(), (x, f, y), (*sizes, *rest))


def bias_act_launch(x: Tensor, b: Tensor | None, y: Tensor, how: Settings) -> Launch:
    """Args: `x` and `y` are dense, in the same order."""
    vec, tail, numbers = _element_wise(y, [x, y], how)
    kernel = f"bias_act<{TYPES[x.dtype]}, {_number(how.act)}, {tail}>"
    return Launch("bias_act.cu", kernel, x.numel() // vec, (x, b, y), numbers)


def bias_act_slope_launch(
    d: Tensor, saved: Tensor, b: Tensor | None, out: Tensor, how: Settings, order: int
) -> Launch:
    """Args: `d`, `saved` and `out` are dense, in the same order."""
    vec, tail, numbers = _element_wise(out, [d, saved, out], how)
    kernel = f"bias_act_slope<{TYPES[d.dtype]}, {_number(how.act)}, {order}, {tail}>"
    return Launch("bias_act.cu", kernel, d.numel() // vec, (d, saved, b, out), numbers)


def is_channels_last(x: Tensor) -> bool:
    """Whether results shaped after `x` are channels-last; where both layouts fit, they are not."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=channels_last)


def _element_wise(out: Tensor, tensors: list[Tensor], how: Settings) -> tuple[int, str, tuple]:
    """Elements in a pack, the template's last arguments and the kernel's numbers."""
    vec = _vector_length(out.numel(), *tensors)
    index = "int" if out.numel() < 2**31 - 2**12 else "long long"
    layout = (out.numel(), max(out.stride(how.dim), 1), out.shape[how.dim])
    limit = NO_CLAMP if how.clamp is None else float(how.clamp)
    return vec, f"{vec}, {index}", (*layout, how.alpha, how.gain, limit)


def _vector_length(run: int, *tensors: Tensor) -> int:
    """Elements in 16 bytes, if runs of that length divide and are aligned; otherwise one."""
    vec = 16 // tensors[0].element_size()
    aligned = all(t.data_ptr() % 16 == 0 for t in tensors)
    return vec if run % vec == 0 and aligned else 1


def _number(act: str) -> int:
    return list(ACTIVATIONS).index(act)
