"""Encoders, recognisers and mappers whose every weight follows from its name (see by_rule)."""

from math import prod

import torch
from by_rule import normal
from torch import Tensor


def encoder_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of an IR-SE network or of the paper's mapping network."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    n = normal(name, shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * n.abs()
    if name.endswith(("running_mean", ".bias")):
        return 0.1 * n
    if len(shape) <= 1:
        return 0.5 + 0.1 * n
    return n / prod(shape[1:]) ** 0.5


def encoder_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The state dict with these names and shapes."""
    return {name: encoder_weight(name, tuple(shape)) for name, shape in shapes.items()}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under an outer name."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def narrow(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """The same network at a quarter of the widths."""
    quarter = lambda n: n // 4 if n % 4 == 0 else n
    return {name: [quarter(n) for n in shape] for name, shape in shapes.items()}
