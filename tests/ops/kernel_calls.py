"""Calls of the operators that between them reach every kernel and every way through it."""

import itertools

import torch

from xfer.ops.activations import ACTIVATIONS
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]

UNEVEN = torch.arange(1.0, 17).reshape(4, 4) / 40
"""No symmetry, so that a tap taken for its neighbour or its mirror image shows."""

RESAMPLINGS = {
    "blur": (UNEVEN, {"padding": 1}),
    "correlation": (UNEVEN, {"padding": 1, "flip_filter": True}),
    "upsampling": (UNEVEN, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}),
    "upsampling in the other phase": (UNEVEN, {"up": 2, "padding": (1, 2, 1, 2), "gain": 4.0}),
    "downsampling": (UNEVEN, {"down": 2, "padding": 1}),
    "up and down": (UNEVEN[:3, :2], {"up": 2, "down": 2, "padding": (3, 0, 1, 2)}),
    "cropping": (UNEVEN[:2], {"padding": (-1, 2, 3, -2)}),
    "cropping more than there is": (UNEVEN, {"up": 2, "padding": (-3, 9, 9, -3)}),
    "a row": (setup_filter([1, 3, 3, 1], separable=True), {"up": 2, "padding": (2, 1)}),
    "a long row": (torch.arange(1.0, 13) / 80, {"down": 2, "padding": (5, 6)}),
    "large factors": (UNEVEN, {"up": 3, "down": 5, "padding": (1, 4, 2, 8)}),
    "a large filter": (torch.linspace(-1, 1, 90).reshape(9, 10), {"padding": 5}),
}


def resample(name: str):
    """A function of x, with the filter on its device."""
    f, options = RESAMPLINGS[name]
    return lambda x: upfirdn2d(x, f.to(x.device), **options)


ACTIVATING = {
    f"{act}, clamp {clamp}": {"act": act, "clamp": clamp}
    for act, clamp in itertools.product(ACTIVATIONS, [None, 1.1])
    if (act, clamp) != ("linear", None)
}


def activate(name: str):
    """A function of x and b."""
    return lambda x, b: bias_act(x, b, gain=1.3, **ACTIVATING[name])
