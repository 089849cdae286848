"""Where a computation runs, and sums in full precision."""

import torch

from xfer.errors import BadValue


def best_device(name: str = "auto") -> torch.device:
    """A device by its name: cpu, cuda, cuda:1, mps, or auto (cuda where there is one, else cpu)."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise BadValue(f"device {name} cannot be used here ({why}): take cpu or auto") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise BadValue(f"a device is auto, cpu, cuda or mps; got '{name}'")
    return device


def full(x: torch.Tensor) -> torch.Tensor:
    """Numbers in float32 at least, for sums and distances."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
