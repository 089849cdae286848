"""Bias, leaky ReLU (or nothing), gain and clamp in one step, differentiable twice."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.errors import BadValue
from xfer.ops import build

GAINS = {"linear": 1.0, "lrelu": math.sqrt(2)}
"""Default gain of each activation: keeps the scale of a normal input."""

aten = torch.ops.aten


def bias_act(
    x: Float[Tensor, "..."],
    b: Float[Tensor, " channels"] | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Float[Tensor, "..."]:
    """`clamp(gain * act(x + b))`.

    Args:
        b: One number for each index along axis `dim` of `x`; zero by default.
        act: linear or lrelu.
        alpha: Slope of lrelu below zero, not negative.
        gain: By default the square root of two for lrelu, one for linear.
        clamp: Bound on the output's magnitude; none by default.
    """
    if act not in GAINS:
        raise BadValue(f"act is one of {', '.join(GAINS)}; got {act!r}")
    gain = GAINS[act] if gain is None else float(gain)
    dim %= x.ndim
    b = None if b is None else b.to(x.dtype)
    if act == "linear" and clamp is None:  # nothing to save and nothing to fuse
        x = x if b is None else x + _along(b, x, dim)
        return x if gain == 1 else x * gain
    alpha = 1.0 if act == "linear" else float(alpha)
    return torch.ops.xfer.bias_act(x, b, dim, alpha, gain, clamp)


@torch.library.custom_op("xfer::bias_act", mutates_args=())
def _bias_act(
    x: Tensor, b: Tensor | None, dim: int, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    y = torch.empty_like(x)
    if build.has_work_for_kernels(x):
        b = None if b is None else b.contiguous()
        layout = (y.numel(), max(y.stride(dim), 1), y.shape[dim])
        numbers = (*layout, alpha, gain, _limit(clamp))
        launch = _launch("bias_act", (_ordered(x, y), y), numbers, (b,))
        if build.launch_or_explain(launch):
            return y
    early = gain if gain > 0 else 1.0  # a positive factor passes through a leaky ReLU
    if b is None:
        torch.mul(x, early, out=y)
    else:
        torch.add(_along(b, x, dim) * early, x, alpha=early, out=y)
    if alpha != 1:
        torch.nn.functional.leaky_relu_(y, alpha)
    if early != gain:
        y.mul_(gain)
    return y if clamp is None else y.clamp_(-clamp, clamp)


@_bias_act.register_fake
def _(x, b, dim, alpha, gain, clamp):
    return torch.empty_like(x)


@torch.library.custom_op("xfer::bias_act_slope", mutates_args=())
def _bias_act_slope(d: Tensor, y: Tensor, alpha: float, gain: float, clamp: float | None) -> Tensor:
    """`d` times the derivative of `bias_act` by its input, which its output `y` determines."""
    out = torch.empty_like(y)
    d = _ordered(d, out)
    if build.has_work_for_kernels(d):
        numbers = (out.numel(), alpha, gain, _limit(clamp))
        if build.launch_or_explain(_launch("bias_act_slope", (d, _ordered(y, out), out), numbers)):
            return out
    if alpha == 1:
        result = d * gain
    else:
        result = aten.leaky_relu_backward(d, y if gain >= 0 else -y, alpha, True).mul_(gain)
    if clamp is not None:
        limit = torch.tensor(clamp, dtype=y.dtype).item()  # as a clamped output was stored
        result = aten.hardtanh_backward(result, y, -limit, limit)
    return _ordered(result, out)


@_bias_act_slope.register_fake
def _(d, y, alpha, gain, clamp):
    return torch.empty_like(y)


def _save(ctx, inputs, output):
    ctx.dim, *ctx.settings = inputs[2:]
    ctx.save_for_backward(output)


def _gradient(ctx, d):
    d = torch.ops.xfer.bias_act_slope(d, *ctx.saved_tensors, *ctx.settings)
    others = [axis for axis in range(d.ndim) if axis != ctx.dim]
    to_b = None
    if ctx.needs_input_grad[1]:
        to_b = d.sum(others) if others else d.clone()
    return d, to_b, None, None, None, None


def _save_slope(ctx, inputs, output):
    _, y, *ctx.settings = inputs
    ctx.save_for_backward(y)


def _gradient_slope(ctx, v):
    """The slope is linear in `d` and constant in `y` wherever it has a derivative."""
    v = torch.ops.xfer.bias_act_slope(v, *ctx.saved_tensors, *ctx.settings)
    return v, None, None, None, None


_bias_act.register_autograd(_gradient, setup_context=_save)
_bias_act_slope.register_autograd(_gradient_slope, setup_context=_save_slope)


def _launch(name: str, tensors: tuple, numbers: tuple, b: tuple = ()) -> build.Launch:
    """Args: the tensors are dense and in the same order."""
    size = tensors[0].numel()
    vec = build.vector_length(size, *tensors)
    index = "int" if size < 2**31 - 2**12 else "long long"
    kernel = f"{name}<{build.TYPES[tensors[0].dtype]}, {vec}, {index}>"
    return build.Launch("bias_act.cu", kernel, size // vec, (*tensors, *b), numbers)


def _limit(clamp: float | None) -> float:
    return -1.0 if clamp is None else float(clamp)


def _ordered(t: Tensor, like: Tensor) -> Tensor:
    """`t` laid out in memory as `like`."""
    return t if t.stride() == like.stride() else torch.empty_like(like).copy_(t)


def _along(b: Tensor, x: Tensor, dim: int) -> Tensor:
    return b.view([-1 if axis == dim else 1 for axis in range(x.ndim)])
