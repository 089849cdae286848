"""Compiles both operators, forward and backward, and compares: run by test_compiling_ops.py.

A program of its own, because torch.compile cannot follow the shape checks that tests put around
every function of the package.
"""

import sys

import torch
from derivatives import normal

from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d


def layer(x, b, f):
    x = upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1), gain=4.0)
    return bias_act(upfirdn2d(x, f, down=2, padding=1), b, act="lrelu", clamp=1.0).square()


def check(backend: str) -> None:
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    f, b = setup_filter([1, 3, 3, 1]), normal((3,), torch.float32, 1).requires_grad_()
    for size in (6, 7, 9):  # the later ones with dynamic shapes
        x = normal((2, 3, size, 5), torch.float32, 0)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        mine, theirs = compiled(x, b, f), layer(x, b, f)
        assert mine.stride() == theirs.stride()
        torch.testing.assert_close(mine, theirs)
        mine, theirs = (torch.autograd.grad(y.sum(), (x, b)) for y in (mine, theirs))
        torch.testing.assert_close(mine, theirs)


if __name__ == "__main__":
    check(sys.argv[1])
