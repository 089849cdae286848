"""Random numbers by step and sample, and the processes that share a batch.

No generator has a state that would have to be saved: step 1000 sees the same numbers whether the
run got there at once or after ten crashes, and whichever process holds the sample.
"""

import atexit
import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xfer.devices import best_device, full
from xfer.errors import BadValue


def rng(seed: int, purpose: str, step: int, sample: int = 0) -> torch.Generator:
    """A random generator on the CPU for one purpose at one step, for one sample of the batch."""
    return torch.Generator().manual_seed(_number(seed, purpose, step, sample))


def numpy_rng(seed: int, purpose: str, step: int, sample: int = 0) -> np.random.Generator:
    """The same for NumPy."""
    return np.random.default_rng(_number(seed, purpose, step, sample))


def epoch_order(seed: int, position: int, count: int) -> int:
    """Which of `count` items comes at a position of an endless order; epochs differ in theirs."""
    epoch, place = divmod(position, count)
    return int(_permutation(seed, epoch, count)[place])


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Tensor:
    return torch.randperm(count, generator=rng(seed, "order", epoch))


def _number(*key: int | str) -> int:
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def normal(rngs: Sequence[torch.Generator], *shape: int) -> Float[Tensor, "batch *shape"]:
    """Standard normal numbers, each row from its own generator."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in rngs])


def uniform(rngs: Sequence[torch.Generator], *shape: int) -> Float[Tensor, "batch *shape"]:
    """Numbers in [0, 1), each row from its own generator."""
    return torch.stack([torch.rand(shape, generator=generator) for generator in rngs])


class World:
    """The processes that train together; without torchrun there is one. Rank 0 writes files."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu"):
        self.rank, self.size, self.device = rank, size, torch.device(device)

    @classmethod
    def join(cls, device: str = "auto") -> "World":
        """Meet the processes that torchrun started (gloo on CPUs, nccl on GPUs)."""
        place, size = best_device(device), int(os.environ.get("WORLD_SIZE", 1))
        if place.type == "cuda":
            place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", place.index or 0)))
            torch.cuda.set_device(place)
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return cls(int(os.environ.get("RANK", 0)), size, place)

    def samples(self, batch: int, group: int = 1) -> list[int]:
        """Samples of the batch that this process holds.

        Args:
            group: Samples i, i + batch / group, ... share a statistic and stay in one process.
        """
        if batch % (group * self.size):
            shared = f"a batch shared by {self.size} processes in groups of {group}"
            raise BadValue(f"{shared} is a multiple of {group * self.size}; got {batch}")
        groups = batch // group
        own = range(groups * self.rank // self.size, groups * (self.rank + 1) // self.size)
        return [g * groups + member for g in range(group) for member in own]

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        tensors = list(tensors)
        if self.size == 1:
            return
        flat = torch.cat([full(tensor.detach()).reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor) / self.size)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        number = torch.tensor(float(flag), device=self.device)
        self.mean_([number])
        return bool(number > 0)


class SharedNorm(_BatchNorm):
    """Batch norm over the samples of all processes (PyTorch's SyncBatchNorm refuses CPUs)."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        mean = _mean_of_all(full(x).mean(axes))
        centred = full(x) - mean.view(shape)
        variance = _mean_of_all(centred.square().mean(axes))
        with torch.no_grad():
            count = x.numel() // x.shape[1] * dist.get_world_size()
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


def _mean_of_all(x: Tensor) -> Tensor:
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x.contiguous()) / dist.get_world_size()


def share_norms(network: nn.Module, world: World) -> None:
    """Let a network's batch norms look at the samples of all processes."""
    for layer in network.modules():
        if world.size > 1 and isinstance(layer, _BatchNorm):
            layer.__class__ = SharedNorm
