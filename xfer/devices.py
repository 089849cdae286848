"""Where a computation runs, and sums in full precision."""

import torch

from xfer.errors import BadValue


def best_device(name: str = "auto") -> torch.device:
    """A device by its name: cpu, cuda, cuda:1, mps, or auto for cuda where there is one, else cpu.

    Raises:
        BadValue: The name is unknown, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise BadValue(f"a device is auto, cpu, cuda or mps; got '{name}'")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BadValue(f"device {name} needs an NVIDIA GPU; {count} can be used here: take cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadValue(f"device {name} needs a Mac with Apple silicon: take cpu or auto")
    return device


def full(x: torch.Tensor) -> torch.Tensor:
    """Numbers in float32 at least, for sums and distances."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
