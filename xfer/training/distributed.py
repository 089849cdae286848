"""Several processes that together compute what one would: same total batch, averaged gradients.

Under torchrun every process takes part; without it there is one process and nothing to do.
Gradients are averaged by hand after backward, because the regularisers differentiate twice.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xfer.devices import best_device
from xfer.errors import expect

__all__ = ["World", "best_device"]


class World:
    """The processes of a run. `rank` 0 writes; all compute."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu"):
        self.rank, self.size, self.device = rank, size, torch.device(device)

    @classmethod
    def join(cls, device: str = "auto") -> "World":
        """Meet the other processes if torchrun started any (gloo on CPUs, nccl on GPUs).

        Args:
            device: "cpu", "cuda", "mps", or "auto" for the best that is there.
        """
        local = int(os.environ.get("LOCAL_RANK", 0))
        device = str(best_device(device))
        if device == "cuda":
            torch.cuda.set_device(local)
            device = f"cuda:{local}"
        size = int(os.environ.get("WORLD_SIZE", 1))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(int(os.environ.get("RANK", 0)), size, device)

    def leave(self) -> None:
        """Part from the other processes, once all are done."""
        if dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()

    def samples(self, batch: int, group: int = 1) -> list[int]:
        """Which samples of the global batch this process holds.

        A statistic over groups of `group` samples (i, i + batch/group, ...) finds whole groups in
        every process, in the order that one process would give them.
        """
        expect(
            batch % (group * self.size) == 0,
            f"the batch is shared by {self.size} processes in groups of {group}, so it is a "
            f"multiple of {group * self.size}; got {batch}",
        )
        groups = batch // group
        own = range(groups * self.rank // self.size, groups * (self.rank + 1) // self.size)
        return [g * groups + m for g in range(group) for m in own]

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        tensors = list(tensors)
        if self.size == 1 or not tensors:
            return
        single = lambda t: t.detach().to(torch.promote_types(t.dtype, torch.float32))
        flat = torch.cat([single(t).reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients of all parameters that have one."""
        self.mean_(p.grad for p in module.parameters() if p.grad is not None)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        number = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
        return bool(number.item())
