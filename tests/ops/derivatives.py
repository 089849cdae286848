"""A function's value, gradient and gradient of the gradient, for comparing two ways to them."""

import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 6e-3, torch.bfloat16: 5e-2}
"""Relative and absolute, for numbers near one."""


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


def assert_agree(mine: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(mine, theirs, strict=True):
        bound = TOLERANCE[a.dtype]
        torch.testing.assert_close(
            a.double().cpu(), b.double().cpu(), rtol=bound, atol=bound * (1 + b.abs().max().item())
        )
