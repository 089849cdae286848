"""Where a computation runs and in which precision."""

import contextlib

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
            raise BadValue(
                f"device {name} needs an NVIDIA GPU, its driver and a PyTorch built for it; "
                f"{count or 'none'} can be used here: take cpu, or auto for the best there is"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadValue(f"device {name} needs a Mac with Apple silicon: take cpu or auto")
    return device


def half_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """The data type for a setting: none -> None, bfloat16, float16, auto -> what is fast here."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else None
    return None if name == "none" else getattr(torch, name)


def autocast(half: torch.dtype | None, device: torch.device) -> torch.autocast:
    """Convolutions and matrix products in `half`; None changes nothing."""
    return torch.autocast(device.type, half, enabled=half is not None)


def full(x: torch.Tensor) -> torch.Tensor:
    """Numbers in float32 at least, for sums and distances."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def has_fast_bfloat16(device: torch.device) -> bool:
    """True where bfloat16 has instructions of its own; elsewhere it is emulated, several times
    slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "").split()
            return "avx512_bf16" in flags or "amx_bf16" in flags
    return False
