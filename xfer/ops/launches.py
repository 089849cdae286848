"""Which kernel serves a call, on how many threads and with which arguments."""

from torch import Tensor, bfloat16, channels_last, float16, float32, float64

from xfer.ops.activations import ACTIVATIONS
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
    pointers = (x.data_ptr(), f.data_ptr(), y.data_ptr())
    (left, _, top, _), (rows, columns) = padding, f.shape
    vec = _vector_length(inner, x, y)
    strips = outer * -(-y.shape[2] // STRIP_ROWS) * -(-y.shape[3] // up[0]) * inner // vec
    small = max(*up, *down) <= STRIP_FACTOR and f.numel() <= STRIP_TAPS
    # The strip kernel counts threads and the elements of one outer index in 32 bits.
    if small and max(strips, x.numel() // outer, y.numel() // outer) < 2**31:
        steps = (*up, *down, columns, rows, left % up[0], top % up[1], vec)
        kernel = f"upfirdn2d_strip<{TYPES[x.dtype]}, {', '.join(map(str, steps))}>"
        rest = (left // up[0], top // up[1], int(flip_filter), float(gain))
        return Launch("upfirdn2d.cu", kernel, strips, (*pointers, *sizes, *rest))
    rest = (*up, *down, columns, rows, left, top, int(flip_filter), float(gain))
    kernel = f"upfirdn2d_any<{TYPES[x.dtype]}>"
    return Launch("upfirdn2d.cu", kernel, y.numel(), (*pointers, *sizes, *rest))


def bias_act_launch(
    x: Tensor,
    b: Tensor | None,
    y: Tensor,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Launch:
    """Args: `x` and `y` are dense, in the same order."""
    vec, tail, rest = _element_wise(y, [x, y], dim, alpha, gain, clamp)
    kernel = f"bias_act<{TYPES[x.dtype]}, {_number(act)}, {tail}>"
    return Launch("bias_act.cu", kernel, x.numel() // vec, (*_pointers(x, b, y), *rest))


def bias_act_slope_launch(
    d: Tensor,
    saved: Tensor,
    b: Tensor | None,
    out: Tensor,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    order: int,
) -> Launch:
    """Args: `d`, `saved` and `out` are dense, in the same order."""
    vec, tail, rest = _element_wise(out, [d, saved, out], dim, alpha, gain, clamp)
    kernel = f"bias_act_slope<{TYPES[d.dtype]}, {_number(act)}, {order}, {tail}>"
    return Launch("bias_act.cu", kernel, d.numel() // vec, (*_pointers(d, saved, b, out), *rest))


def is_channels_last(x: Tensor) -> bool:
    """Whether results shaped after `x` are channels-last; where both layouts fit, they are not."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=channels_last)


def _element_wise(
    out: Tensor, tensors: list[Tensor], dim: int, alpha: float, gain: float, clamp: float | None
) -> tuple[int, str, tuple]:
    """Elements in a pack, the template's last arguments and the kernel's."""
    vec = _vector_length(out.numel(), *tensors)
    index = "int" if out.numel() < 2**31 - 2**12 else "long long"
    limit = NO_CLAMP if clamp is None else float(clamp)
    layout = (out.numel(), max(out.stride(dim), 1), out.shape[dim])
    return vec, f"{vec}, {index}", (*layout, float(alpha), float(gain), limit)


def _vector_length(run: int, *tensors: Tensor) -> int:
    """Elements in 16 bytes, if runs of that length divide and are aligned; otherwise one."""
    vec = 16 // tensors[0].element_size()
    aligned = all(t.data_ptr() % 16 == 0 for t in tensors)
    return vec if run % vec == 0 and aligned else 1


def _pointers(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(0 if t is None else t.data_ptr() for t in tensors)


def _number(act: str) -> int:
    return list(ACTIVATIONS).index(act)
