"""An untrained model with two controls that are right by construction, and a real face."""

from pathlib import Path

import torch
from PIL import Image
from skimage.data import astronaut

from xfer.controls import Controls, ControlsConfig
from xfer.reenact.studio import Studio, untrained_model


def small_studio():
    model = untrained_model()
    size = model.motion_encoder.config.bottleneck
    controls = Controls(ControlsConfig(size, ("yaw_deg", "jaw")))
    for row in range(2):
        controls.reads[row, row] = controls.moves[row, row] = 1.0
    return Studio(model.prepare(), controls, note="Untrained weights.")


def portrait(folder: Path) -> str:
    """A photograph of one person, as a file."""
    path = folder / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    return str(path)


def same(a, b):
    return torch.equal(a, b)
