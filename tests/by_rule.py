"""Networks whose every weight follows from its name, and files of the public layouts around them.

The figures in tests/data/*.npz are what the public implementations compute from such weights.
"""

import json
import re
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).with_name("data")
KEYS = json.loads((DATA / "keys.json").read_text())
"""Tensor names and shapes of public checkpoints."""

BLUR = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def given(seed: int, shape: tuple[int, ...]) -> Tensor:
    """An input: standard normal numbers of a seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def normal(name: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers of a name."""
    return given(zlib.crc32(name.encode()), shape)


def figures(name: str) -> dict[str, Tensor]:
    """What the public implementation computed."""
    with np.load(DATA / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def assert_agree(ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> None:
    """Equal within `tolerance` of the largest absolute value."""
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs().max() / theirs.abs().max()
    assert difference < tolerance, f"{difference:.1e} of the largest value"


def stylegan2_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of a StyleGAN2 of either public layout."""
    n = normal(name, shape)
    if name.endswith(("kernel", "resample_filter")):
        up = ".conv.blur" in name or ".upsample." in name
        return BLUR * 4 if up else BLUR
    if re.fullmatch(r"style\..*\.weight|mapping\.fc.*\.weight", name):
        return 100 * n
    if name.endswith(("modulation.bias", "affine.bias")):
        return 1 + 0.1 * n
    return 0.1 * n if name.endswith(("bias", "noise.weight", "noise_strength")) else n


def state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The state dict of a StyleGAN2 with these names and shapes."""
    return {name: stylegan2_weight(name, tuple(shape)) for name, shape in shapes.items()}


def small_rosinality(channels: int = 6, styles: int = 12) -> dict[str, Tensor]:
    """Tensors of a narrow rosinality generator of 16 px with two mapping layers."""
    shapes = {}
    for name, shape in KEYS["rosinality_generator_32"].items():
        if not re.match(r"style\.[3-8]|convs\.[45]|to_rgbs\.2|noises\.noise_[56]", name):
            width = styles if name.startswith("style") else channels
            shapes[name] = [width if n == 512 else n for n in shape]
            if name.endswith("modulation.weight"):
                shapes[name][1] = styles
    return state(shapes)


def encoder_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of an IR-SE network or of the paper's mapping network."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    n = normal(name, shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * n.abs()
    if name.endswith(("running_mean", ".bias")):
        return 0.1 * n
    if len(shape) <= 1:
        return 0.5 + 0.1 * n
    return n / prod(shape[1:]) ** 0.5


def encoder_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The state dict with these names and shapes."""
    return {name: encoder_weight(name, tuple(shape)) for name, shape in shapes.items()}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under an outer name."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}
