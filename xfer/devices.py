"""Where a computation runs, chosen by name and refused where it cannot run."""

import torch

from xfer.errors import expect


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
    known = device is not None and device.type in ("cpu", "cuda", "mps")
    expect(known, f"a device is auto, cpu, cuda or mps; got '{name}'")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        expect(
            (device.index or 0) < count,
            f"device {name} needs an NVIDIA GPU, its driver and a PyTorch built for it; "
            f"{count or 'none'} can be used here: take cpu, or auto for the best there is",
        )
    if device.type == "mps":
        expect(
            torch.backends.mps.is_available(),
            f"device {name} needs a Mac with Apple silicon; this machine is none: take cpu, or "
            "auto for the best there is",
        )
    return device
