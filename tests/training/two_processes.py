"""Two processes that train together on this machine, as torchrun would start them.

In double precision: Adam moves a weight whose gradient is nothing but rounding by a whole step,
either way, so that single precision says little of whether two programs compute the same.
"""

import os
import socket

import torch

from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World


def train_in_two(train, folder):
    """Run `train(folder, world)`, a function of a module, in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_one_of_two, (train, folder, port), nprocs=2)


def _one_of_two(rank, train, folder, port):
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    world = World.join("cpu")
    train(folder, world)
    world.leave()


def assert_two_equal_one(train, folder, part, tolerance=1e-3):
    """Two processes give the part of the newest checkpoint that one gives."""
    torch.set_default_dtype(torch.float64)
    try:
        train(folder / "one", World())
    finally:
        torch.set_default_dtype(torch.float32)
    train_in_two(train, folder / "two")
    one, two = (Checkpoints(folder / n).load_latest()[1][part] for n in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=tolerance, rtol=tolerance, msg=name)
    greatest = max((two[name] - value).abs().max().item() for name, value in one.items())
    print(f"two processes and one differ by {greatest:.1e} at most")


class Double:
    """Frames in double precision."""

    def __init__(self, frames):
        self.frames = frames

    def at(self, positions):
        return self.frames.at(positions).double()
