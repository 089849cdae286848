"""Pictures as bytes (uint8, channels last) and as tensors in [-1, 1], one into the other."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_uint8(
    images: Float[Tensor, "batch 3 height width"],
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Pictures in [-1, 1] as bytes, channels last; what lies outside is clamped."""
    scaled = (images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def from_uint8(
    pixels: UInt8[np.ndarray, "batch height width 3"],
) -> Float[Tensor, "batch 3 height width"]:
    """Bytes as pictures in [-1, 1]."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return planes.float() / 127.5 - 1
