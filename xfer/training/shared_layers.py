"""Layers that look at a whole batch, when several processes hold its samples.

Batch statistics are those of all processes (PyTorch's SyncBatchNorm runs on GPUs alone), and what
a dropout leaves out is drawn for the whole batch, of which every process takes its own samples.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xfer.precision import full
from xfer.training.distributed import World


class _MeanOfAll(torch.autograd.Function):
    """The mean of a tensor over the processes; the gradient is averaged likewise, once, and so is
    the gradient of that, which penalties of gradients need."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _mean(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _MeanOfAll.apply(gradient)


def _mean(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x / dist.get_world_size()


class SharedNorm(_BatchNorm):
    """Batch norm over the samples of all processes, each of which holds equally many.

    The same parameters, buffers and, in eval mode, results as the layer that it takes the place of.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        axes = [0, *range(2, x.ndim)]
        values = full(x)
        mean = _MeanOfAll.apply(values.mean(axes))
        spread = values - _per_channel(mean, x)
        variance = _MeanOfAll.apply(spread.square().mean(axes))
        if self.training and self.running_mean is not None:
            self._follow(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        scaled = spread * _per_channel((variance + self.eps).rsqrt() * self.weight, x)
        return (scaled + _per_channel(self.bias, x)).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, the variance unbiased as in one process."""
        count *= dist.get_world_size()
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.ndim - 2))


class SharedDropout(nn.Dropout):
    """Dropout that a sample meets alike whichever process holds it.

    Args:
        samples: Of the batch, those that this process holds.
        batch: Samples of all processes; one batch is one call.
    """

    def __init__(self, p: float, samples: Sequence[int], batch: int):
        super().__init__(p)
        self.samples, self.batch = list(samples), batch

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(self.batch, *x.shape[1:], device=x.device)[self.samples] >= self.p
        return x * kept / (1 - self.p)


def share_layers(
    network: nn.Module, world: World, samples: Sequence[int] = (), batch: int = 0
) -> None:
    """Let a network's batch norms, and dropouts where there are any, look at the whole batch.

    Args:
        network: Changed in place; names, parameters and buffers stay.
        samples, batch: As for `SharedDropout`, for a network that has one.
    """
    for name, layer in list(network.named_children()):
        if isinstance(layer, _BatchNorm) and world.size > 1:
            setattr(network, name, _shared_norm(layer))
        elif isinstance(layer, nn.Dropout):
            setattr(network, name, SharedDropout(layer.p, samples, batch).train(layer.training))
        else:
            share_layers(layer, world, samples, batch)


def _shared_norm(layer: _BatchNorm) -> SharedNorm:
    shared = SharedNorm(
        layer.num_features, layer.eps, layer.momentum,
        track_running_stats=layer.track_running_stats,
    ).train(layer.training)  # fmt: skip
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(shared, name, getattr(layer, name))
    return shared
