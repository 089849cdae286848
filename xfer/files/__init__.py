"""Checkpoint files of every layout -> plain tensors and facts. Nothing in a file is executed."""

from xfer.files.checkpoint import Checkpoint, Network, fill
from xfer.files.container import write_checkpoint
from xfer.files.reading import load_network, read_checkpoint
from xfer.files.storable import Storable, stored_config

__all__ = [
    "Checkpoint",
    "Network",
    "Storable",
    "fill",
    "load_network",
    "read_checkpoint",
    "stored_config",
    "write_checkpoint",
]
