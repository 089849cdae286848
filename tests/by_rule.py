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


def rosinality_generator(
    size: int, multiplier: int = 2, styles: int = 512, mapping: int = 8, top: int = 512
) -> dict[str, list[int]]:
    """Names and shapes of a rosinality generator of any size, `top` channels at most."""
    width = lambda r: min(top, 16384 * multiplier // r)
    shapes = {"input.input": [1, width(4), 4, 4]}
    for i in range(1, mapping + 1):
        shapes |= {f"style.{i}.weight": [styles, styles], f"style.{i}.bias": [styles]}
    count = 2 * (size.bit_length() - 3) + 1
    for i in range(count):
        r, prefix = 4 << (i + 1) // 2, f"convs.{i - 1}" if i else "conv1"
        inner = width(r // 2) if i % 2 else width(r)
        shapes |= {
            f"{prefix}.conv.weight": [1, width(r), inner, 3, 3],
            f"{prefix}.conv.modulation.weight": [inner, styles],
            f"{prefix}.conv.modulation.bias": [inner],
            f"{prefix}.noise.weight": [1],
            f"{prefix}.activate.bias": [width(r)],
            f"noises.noise_{i}": [1, 1, r, r],
        } | ({f"{prefix}.conv.blur.kernel": [4, 4]} if i % 2 else {})
    for i in range((count + 1) // 2):
        r, prefix = 4 << i, f"to_rgbs.{i - 1}" if i else "to_rgb1"
        shapes |= {
            f"{prefix}.bias": [1, 3, 1, 1],
            f"{prefix}.conv.weight": [1, 3, width(r), 1, 1],
            f"{prefix}.conv.modulation.weight": [width(r), styles],
            f"{prefix}.conv.modulation.bias": [width(r)],
        } | ({f"{prefix}.upsample.kernel": [4, 4]} if i else {})
    return shapes


def rosinality_discriminator(
    size: int, multiplier: int = 2, top: int = 512
) -> dict[str, list[int]]:
    """Names and shapes of a rosinality discriminator of any size, `top` channels at most."""
    width = lambda r: min(top, 16384 * multiplier // r)
    shapes = {"convs.0.0.weight": [width(size), 3, 1, 1], "convs.0.1.bias": [width(size)]}
    r = size
    for i in range(1, size.bit_length() - 2):
        a, b = width(r), width(r // 2)
        shapes |= {
            f"convs.{i}.conv1.0.weight": [a, a, 3, 3],
            f"convs.{i}.conv1.1.bias": [a],
            f"convs.{i}.conv2.0.kernel": [4, 4],
            f"convs.{i}.conv2.1.weight": [b, a, 3, 3],
            f"convs.{i}.conv2.2.bias": [b],
            f"convs.{i}.skip.0.kernel": [4, 4],
            f"convs.{i}.skip.1.weight": [b, a, 1, 1],
        }
        r //= 2
    return shapes | {
        "final_conv.0.weight": [top, top + 1, 3, 3],
        "final_conv.1.bias": [top],
        "final_linear.0.weight": [top, 16 * top],
        "final_linear.0.bias": [top],
        "final_linear.1.weight": [1, top],
        "final_linear.1.bias": [1],
    }


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


def narrow(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """The same network at a quarter of the widths."""
    quarter = lambda n: n // 4 if n % 4 == 0 else n
    return {name: [quarter(n) for n in shape] for name, shape in shapes.items()}
