"""Numbers that must stay finite: what a bad step has moved is put back, a state is looked through.

Running means of batch norms and of w move in the forward pass, before anybody knows whether a step
is good. One batch that is not a number would leave them so for good, for they are averages.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Buffers:
    """All buffers of the networks among `parts`, and a copy of them from before a step.

    Args:
        parts: Anything; what is no network has no buffers. Theirs are changed in place only.
    """

    def __init__(self, parts: Iterable[Any]):
        networks = [part for part in parts if isinstance(part, nn.Module)]
        self._live = [buffer for network in networks for buffer in network.buffers()]
        self._kept = [buffer.clone() for buffer in self._live]

    def keep(self) -> None:
        """Copy them as they are now."""
        _copy(self._live, self._kept)

    def restore(self) -> None:
        """Make them what they were when they were last kept."""
        _copy(self._kept, self._live)

    def are_finite(self) -> bool:
        return all_finite(self._live)


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    if source:
        torch._foreach_copy_(target, source)


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether none holds a NaN or an infinity; one wait for each device."""
    by_device = defaultdict(list)
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            by_device[tensor.device].append(tensor)
    greatest = (torch.stack(torch._foreach_norm(some, torch.inf)) for some in by_device.values())
    return all(bool(values.isfinite().all()) for values in greatest)


def tensors_in(state: Any) -> Iterator[Tensor]:
    """All tensors of nested dictionaries and lists, such as a state is made of."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        for part in state.values():
            yield from tensors_in(part)
    elif isinstance(state, (list, tuple)):
        for part in state:
            yield from tensors_in(part)
