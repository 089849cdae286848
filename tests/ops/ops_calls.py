"""Calls of the operators that between them reach every kernel, and their derivatives."""

import torch
from torch import Tensor

from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import upfirdn2d

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 6e-3, torch.bfloat16: 5e-2}
"""Relative and absolute, for numbers near one."""

UNEVEN = torch.arange(1.0, 17).reshape(4, 4) / 40
"""No symmetry, so that a tap taken for its neighbour or its mirror image shows."""
RESAMPLINGS = {
    "blur": (UNEVEN, {"padding": 1}),
    "upsampling": (UNEVEN, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}),
    "upsampling in the other phase": (UNEVEN, {"up": 2, "padding": (1, 2, 1, 2), "gain": 4.0}),
    "downsampling": (UNEVEN, {"down": 2, "padding": 1}),
    "up and down": (UNEVEN[:3, :2], {"up": 2, "down": 2, "padding": (3, 0, 1, 2)}),
    "cropping": (UNEVEN[:2], {"padding": (-1, 2, 3, -2)}),
    "large factors": (UNEVEN, {"up": 3, "down": 5, "padding": (1, 4, 2, 8)}),
    "a large filter": (torch.linspace(-1, 1, 90).reshape(9, 10), {"padding": 5}),
}
ACTIVATIONS = {
    f"{act}, clamp {clamp}": {"act": act, "clamp": clamp}
    for act, clamp in [("lrelu", None), ("lrelu", 1.1), ("linear", 1.1)]
}


def resample(name: str):
    """A function of x, with the filter on its device."""
    f, options = RESAMPLINGS[name]
    return lambda x: upfirdn2d(x, f.to(x.device), **options)


def activate(name: str):
    """A function of x and b."""
    return lambda x, b: bias_act(x, b, gain=1.3, **ACTIVATIONS[name])


def normal(shape: tuple[int, ...], dtype: torch.dtype, seed: int, device="cpu") -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


def derivatives(call, *inputs: Tensor) -> list[Tensor]:
    """The value, then first and second derivatives along random directions."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = call(*inputs)
    d = normal(y.shape, y.dtype, 1, y.device).requires_grad_()
    first = torch.autograd.grad(y, inputs, d, create_graph=True)
    loss = sum((g * normal(g.shape, g.dtype, 2, g.device)).sum() for g in first)
    second = torch.autograd.grad(loss, [*inputs, d], materialize_grads=True)
    return [y.detach(), *(g.detach() for g in first), *second]


def assert_agree(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        bound = TOLERANCE[a.dtype]
        torch.testing.assert_close(
            a.double().cpu(), b.double().cpu(), rtol=bound, atol=bound * (1 + b.abs().max().item())
        )
