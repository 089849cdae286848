"""Bias, activation, gain and clamp in one step (reference in plain PyTorch)."""

import math

import torch.nn.functional as F


def bias_act(x, b=None, dim=1, act="linear", alpha=None, gain=None, clamp=None):
    """`clamp(gain * act(x + b))`; the leaky ReLU's own gain is the square root of two."""
    if b is not None:
        x = x + b.view([-1 if i == dim else 1 for i in range(x.ndim)])
    if act == "lrelu":
        x = F.leaky_relu(x, 0.2 if alpha is None else alpha)
    default = math.sqrt(2) if act == "lrelu" else 1.0
    gain = default if gain is None else gain
    x = x * gain if gain != 1 else x
    return x if clamp is None else x.clamp(-clamp, clamp)
