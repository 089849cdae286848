"""Ranger, the optimiser of the paper: rectified Adam, lookahead and centralised gradients.

Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020; Zhang et
al., "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019; Yong et al., "Gradient
Centralization", ECCV 2020.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from xfer.errors import expect


class Ranger(torch.optim.RAdam):
    """Rectified Adam that steps on centralised gradients and returns halfway every few steps.

    Args:
        parameters: What is learned.
        lr: Learning rate.
        betas, eps, weight_decay: As of Adam; Ranger's usual values.
        every: Steps between two returns; 0 for none.
        share: How far the slow weights then follow the fast ones, in (0, 1].
        centralise: Take the mean over inputs out of the gradients of weights (not of biases).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        every: int = 6,
        share: float = 0.5,
        centralise: bool = True,
    ):
        expect(every >= 0, f"every is 0 steps or more; got {every}")
        expect(0 < share <= 1, f"share is in (0, 1]; got {share}")
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        for group in self.param_groups:
            group |= {"every": every, "share": share, "centralise": centralise}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every weight that has a gradient."""
        expect(closure is None, "Ranger takes gradients, no closure")
        before = {}
        for group, weight in self._learning():
            if group["centralise"] and weight.dim() > 1:
                weight.grad.sub_(weight.grad.mean(tuple(range(1, weight.dim())), keepdim=True))
            if not self.state[weight]:
                before[weight] = weight.clone()
        super().step()
        for group, weight in self._learning():
            state = self.state[weight]
            slow = state.setdefault("slow", before.get(weight))
            if group["every"] and int(state["step"]) % group["every"] == 0:
                weight.copy_(slow.lerp_(weight, group["share"]))

    def _learning(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for group in self.param_groups:
            yield from ((group, weight) for weight in group["params"] if weight.grad is not None)
