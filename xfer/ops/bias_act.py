"""Bias, activation, gain and clamp in one step: definition, reference, registration, gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.errors import expect
from xfer.ops import build
from xfer.ops.activations import ACTIVATIONS, Settings, aten
from xfer.ops.launches import bias_act_launch, bias_act_slope_launch


def bias_act(
    x: Float[Tensor, "..."],
    b: Float[Tensor, " channels"] | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Float[Tensor, "..."]:
    """`clamp(gain * act(x + b))`, differentiable twice in `x` and `b`.

    Args:
        b: One number for each index along axis `dim` of `x`; none by default.
        act: linear, relu, lrelu, sigmoid, tanh, softplus, elu, selu or swish.
        alpha: Slope of lrelu below zero, not negative; 0.2 by default.
        gain: By default what keeps the scale of a normal input: the square root of two for relu,
            lrelu and swish, otherwise one.
        clamp: Bound on the output's magnitude; none by default.
    """
    expect(act in ACTIVATIONS, f"act is one of {', '.join(ACTIVATIONS)}; got {act!r}")
    expect(clamp is None or clamp >= 0, f"clamp is a bound, zero or more; got {clamp}")
    kind = ACTIVATIONS[act]
    alpha = kind.alpha if alpha is None else float(alpha)
    gain = kind.gain if gain is None else float(gain)
    expect(alpha >= 0, f"alpha is the slope of lrelu below zero, not negative; got {alpha}")
    if b is not None:
        expect(-x.ndim <= dim < x.ndim, f"dim is an axis of x {tuple(x.shape)}; got {dim}")
        dim %= x.ndim
        expect(
            b.shape[0] == x.shape[dim],
            f"b has one number for each index of axis {dim} of x {tuple(x.shape)}; "
            f"got {b.shape[0]}",
        )
        expect(b.device == x.device, f"b is on {b.device}, x on {x.device}: move one")
        b = b.to(x.dtype)
    if act == "linear" and clamp is None:  # nothing to save and nothing to fuse
        x = x if b is None else x + _along(b, x, dim)
        return x if gain == 1 else x * gain
    return torch.ops.xfer.bias_act(x, b, dim, act, alpha, gain, clamp)


@torch.library.custom_op("xfer::bias_act", mutates_args=())
def _bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    how = Settings(dim, act, alpha, gain, clamp)
    y = torch.empty_like(x)
    if build.has_work_for_kernels(x):
        b = None if b is None else b.contiguous()
        if build.launch_or_explain(bias_act_launch(_ordered(x, y), b, y, how)):
            return y
    return _fill(y, x, b, how)


def _fill(y: Tensor, x: Tensor, b: Tensor | None, how: Settings) -> Tensor:
    """The reference, in as few passes over memory as PyTorch allows."""
    kind = ACTIVATIONS[how.act]
    early = how.gain if kind.scales and how.gain > 0 else 1.0
    if b is None:
        torch.mul(x, early, out=y)
    else:
        torch.add(_along(b, x, how.dim) * early, x, alpha=early, out=y)
    kind.apply_(y, how.alpha)
    if early != how.gain:
        y.mul_(how.gain)
    return y if how.clamp is None else y.clamp_(-how.clamp, how.clamp)


@_bias_act.register_fake
def _(x, b, dim, act, alpha, gain, clamp):
    return torch.empty_like(x)


@torch.library.custom_op("xfer::bias_act_slope", mutates_args=())
def _bias_act_slope(
    d: Tensor,
    saved: Tensor,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    order: int,
) -> Tensor:
    """`d` times the first derivative (order 1), or times that one's derivative by `saved` (2).

    `saved` is the output of `bias_act`, or for swish its input, which then comes with `b`.
    """
    how = Settings(dim, act, alpha, gain, clamp)
    out = torch.empty_like(saved)
    if build.has_work_for_kernels(d):
        b = None if b is None else b.contiguous()
        d, saved = _ordered(d, out), _ordered(saved, out)
        if build.launch_or_explain(bias_act_slope_launch(d, saved, b, out, how, order)):
            return out
    return _ordered(_slope(d, saved, b, how, order), out)


def _slope(d: Tensor, saved: Tensor, b: Tensor | None, how: Settings, order: int) -> Tensor:
    """The reference."""
    kind = ACTIVATIONS[how.act]
    t = value = saved if b is None else saved + _along(b, saved, how.dim)
    if kind.needs_input:
        value = kind.apply_(t.clone(), how.alpha) * how.gain if how.clamp is not None else None
    elif kind.scales:  # then only the sign of t counts
        t = -t if how.gain < 0 else t
    elif how.gain != 1:
        t = t / how.gain if how.gain else torch.zeros_like(t)
    out = kind.slope(d, t, how.alpha) if order == 1 else kind.bend(d, t)
    if how.gain != 1 and (order == 1 or kind.needs_input):
        out = out.mul_(how.gain)
    if how.clamp is None:
        return out
    limit = torch.tensor(how.clamp, dtype=value.dtype).item()  # as a clamped output was stored
    return aten.hardtanh_backward(out, value, -limit, limit)


@_bias_act_slope.register_fake
def _(d, saved, b, dim, act, alpha, gain, clamp, order):
    return torch.empty_like(saved)


def _keep(ctx, inputs, output):
    x, b, *ctx.settings = inputs
    ctx.dim, ctx.act = ctx.settings[:2]
    needs_input = ACTIVATIONS[ctx.act].needs_input
    ctx.save_for_backward(x if needs_input else output, b if needs_input else None)


def _gradient(ctx, d):
    d = torch.ops.xfer.bias_act_slope(d, *ctx.saved_tensors, *ctx.settings, 1)
    return d, _bias_gradient(ctx, d), None, None, None, None, None


_bias_act.register_autograd(_gradient, setup_context=_keep)


def _keep_slope(ctx, inputs, output):
    *tensors, ctx.dim, ctx.act, ctx.alpha, ctx.gain, ctx.clamp, ctx.order = inputs
    ctx.save_for_backward(*tensors)


def _gradient_slope(ctx, v):
    """The slope is linear in d; in `saved` it has the derivative of the next order."""
    d, *known = ctx.saved_tensors
    settings = (ctx.dim, ctx.act, ctx.alpha, ctx.gain, ctx.clamp)
    to_d = torch.ops.xfer.bias_act_slope(v, *known, *settings, ctx.order)
    to_saved = to_b = None
    if ctx.needs_input_grad[1] and ACTIVATIONS[ctx.act].bend is not None:
        expect(ctx.order == 1, f"bias_act with {ctx.act} has no third derivative")
        to_saved = torch.ops.xfer.bias_act_slope(v * d, *known, *settings, 2)
        to_b = _bias_gradient(ctx, to_saved, 2)
    return to_d, to_saved, to_b, None, None, None, None, None, None


_bias_act_slope.register_autograd(_gradient_slope, setup_context=_keep_slope)


def _bias_gradient(ctx, d: Tensor, position: int = 1) -> Tensor | None:
    """`d` summed over every axis but the bias's, if the input at that position wants it."""
    if not ctx.needs_input_grad[position]:
        return None
    others = [axis for axis in range(d.ndim) if axis != ctx.dim]
    return d.sum(others) if others else d.clone()


def _ordered(t: Tensor, like: Tensor) -> Tensor:
    """`t` laid out in memory as `like`."""
    return t if t.stride() == like.stride() else torch.empty_like(like).copy_(t)


def _along(b: Tensor, x: Tensor, dim: int) -> Tensor:
    return b.view([-1 if axis == dim else 1 for axis in range(x.ndim)])
