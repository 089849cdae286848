"""A tiny studio, and pictures and videos to drive and to be."""

from pathlib import Path

import numpy as np
import torch
from moving_pictures import write_video
from PIL import Image
from skimage.data import astronaut

from xfer.controls import Controls, ControlsConfig
from xfer.reenact.studio import Studio, untrained_model

HEAD = astronaut()[0:256, 96:352]
"""A real face, 256 x 256."""


def face_square(size: int = 64) -> np.ndarray:
    """The face as an aligned square."""
    return np.array(Image.fromarray(HEAD).resize((size, size)))


def save(path: Path, pixels: np.ndarray, **options) -> str:
    Image.fromarray(pixels).save(path, **options)
    return str(path)


def nodding(frames: int, size: int = 64) -> list[np.ndarray]:
    """The face, growing lighter from frame to frame: no two frames are alike."""
    base = face_square(size).astype(np.int32)
    return [np.clip(base + 4 * number, 0, 255).astype(np.uint8) for number in range(frames)]


def video(path: Path, frames: int = 6, **options) -> str:
    return str(write_video(path, nodding(frames), **options))


def controls_of(model) -> Controls:
    """Controls of two factors, each one coordinate of h."""
    size = model.motion_encoder.config.bottleneck
    controls = Controls(ControlsConfig(size, ("yaw_deg", "jaw"))).eval()
    controls.reads[0, 0], controls.reads[1, 1] = 10.0, 0.5
    controls.moves[0, 0], controls.moves[1, 1] = 0.1, 2.0
    return controls


def studio(with_controls: bool = False) -> Studio:
    model = untrained_model()
    return Studio(model.prepare(), controls_of(model) if with_controls else None, note="Test.")


def saved_weights(path: Path, *companions) -> str:
    return str(untrained_model().save(path, companions=companions))


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() < 1e-4 * other.abs().max())
