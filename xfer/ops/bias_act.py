"""Bias, activation, gain and clamp in one step."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xfer.errors import expect


class Activation(NamedTuple):
    """An activation with what it is called with unless told otherwise."""

    apply: Callable
    alpha: float
    gain: float


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x, 0.0, 1.0),
    "relu": Activation(lambda x, alpha: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x), 0.0, 1.0),
    "tanh": Activation(lambda x, alpha: torch.tanh(x), 0.0, 1.0),
    "softplus": Activation(lambda x, alpha: F.softplus(x), 0.0, 1.0),
    "elu": Activation(lambda x, alpha: F.elu(x), 0.0, 1.0),
    "selu": Activation(lambda x, alpha: F.selu(x), 0.0, 1.0),
    "swish": Activation(lambda x, alpha: F.silu(x), 0.0, math.sqrt(2)),
}


def bias_act(
    x: Float[Tensor, "..."],
    b: Float[Tensor, " channels"] | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Float[Tensor, "..."]:
    """`clamp(gain * act(x + b))`.

    Args:
        b: One number for each index along axis `dim` of `x`; none by default.
        alpha: Slope of the leaky ReLU below zero; 0.2 by default.
        gain: By default what keeps the scale of a normal input: the square root of two for relu,
            lrelu and swish, otherwise one.
        clamp: Bound on the output's magnitude; none by default.
    """
    expect(act in ACTIVATIONS, f"act is one of {', '.join(ACTIVATIONS)}; got {act!r}")
    expect(clamp is None or clamp >= 0, f"clamp is a bound, zero or more; got {clamp}")
    apply, default_alpha, default_gain = ACTIVATIONS[act]
    if b is not None:
        expect(
            -x.ndim <= dim < x.ndim and b.shape[0] == x.shape[dim],
            f"b needs one number for each index of axis {dim} of x {tuple(x.shape)}; "
            f"got {b.shape[0]}",
        )
        x = x + b.to(x.dtype).view([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    x = apply(x, default_alpha if alpha is None else alpha)
    gain = default_gain if gain is None else gain
    x = x * gain if gain != 1 else x
    return x if clamp is None else x.clamp(-clamp, clamp)
