"""Which half-precision type a processor really computes with."""

import contextlib

import torch


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
