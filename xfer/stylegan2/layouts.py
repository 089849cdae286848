"""Public files -> our generators and discriminators: StyleGAN2, and the packaged MobileStyleGAN.

All layouts agree in the values: convolutions are stored as correlations, weights before equalised
learning rate. They differ in names, in axes of length one, and in what they leave unsaid.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
import torch
from torch import Tensor

from xfer.assets import asset_path
from xfer.checkpoints import Network
from xfer.errors import BadFile
from xfer.stylegan2.layers import BLUR

MAPPING_LR = 0.01
"""Learning rate multiplier of the mapping network, where a file does not state it."""

WHOLE_BATCH = 1 << 16
"""A minibatch standard deviation group that no batch exceeds."""

AXES = {"noise_strength": 0, "bias": 1, "w_mean": 1, "noise": 2, "const": 3}
"""Axes of our tensors by the last part of their name; weights have two in linear layers, else 4."""

State = dict[str, Tensor]


def _doublings(edge: str) -> int:
    """How often 4 px are doubled."""
    return int(edge).bit_length() - 3


# A generator's layers go up from 4 px, a discriminator's blocks down to it.
ROSINALITY_GENERATOR = {
    r"^input\.input$": "const",
    r"^style\.(\d+)\.": lambda m: f"mapping.layers.{int(m[1]) - 1}.",
    r"^conv1\.": "layers.0.",
    r"^convs\.(\d+)\.": lambda m: f"layers.{int(m[1]) + 1}.",
    r"^to_rgb1\.": "to_rgb.0.",
    r"^to_rgbs\.(\d+)\.": lambda m: f"to_rgb.{int(m[1]) + 1}.",
    r"^noises\.noise_(\d+)$": r"layers.\1.noise",
    r"\.conv\.modulation\.": ".affine.",
    r"\.conv\.weight$": ".weight",
    r"\.noise\.weight$": ".noise_strength",
    r"\.activate\.bias$": ".bias",
}
ROSINALITY_DISCRIMINATOR = {
    r"^convs\.0\.[01]\.": "from_rgb.",
    r"^convs\.(\d+)\.": lambda m: f"blocks.{int(m[1]) - 1}.",
    r"\.conv1\.[01]\.": ".conv0.",
    r"\.conv2\.[12]\.": ".conv1.",
    r"\.skip\.1\.": ".skip.",
    r"^final_conv\.[01]\.": "conv.",
    r"^final_linear\.0\.": "linear.",
    r"^final_linear\.1\.": "out.",
}
NVLABS_GENERATOR = {
    r"^mapping\.w_avg$": "w_mean",
    r"^mapping\.fc": "mapping.layers.",
    r"^synthesis\.b4\.const$": "const",
    r"^synthesis\.b(\d+)\.conv([01])\.": lambda m: (
        f"layers.{2 * _doublings(m[1]) + int(m[2]) - 1}."
    ),
    r"^synthesis\.b(\d+)\.torgb\.": lambda m: f"to_rgb.{_doublings(m[1])}.",
    r"\.noise_const$": ".noise",
}
NVLABS_DISCRIMINATOR = {
    r"^b\d+\.fromrgb\.": "from_rgb.",
    r"^b4\.conv\.": "conv.",
    r"^b4\.fc\.": "linear.",
    r"^b4\.out\.": "out.",
}
NAMES = {
    ("rosinality", True): ROSINALITY_GENERATOR,
    ("rosinality", False): ROSINALITY_DISCRIMINATOR,
    ("nvlabs", True): NVLABS_GENERATOR,
    ("nvlabs", False): NVLABS_DISCRIMINATOR,
}
"""Patterns of names and what becomes of them, by layout, and whether it is a generator's."""


def generator_from(network: Network) -> tuple[dict[str, Any], State]:
    """Arguments for `GeneratorConfig`, and the tensors under our names.

    The state lacks `w_mean` where the file has no mean. A file without noise images gets ones
    sampled from a fixed seed.
    """
    state = _ours(network)
    layers = _count(state, r"layers\.(\d+)\.weight")
    mapping = _count(state, r"mapping\.layers\.(\d+)\.weight")
    if layers % 2 == 0 or not mapping:
        raise BadFile(f"{layers} layers and {mapping} mapping layers make no generator")
    w_dim, z_dim = state["mapping.layers.0.weight"].shape
    # A label's embedding is appended to z; only NVlabs' layout has a z that is not as wide as w.
    if z_dim != w_dim and (network.layout == "rosinality" or z_dim == 2 * w_dim):
        sizes = f"its mapping takes {z_dim} numbers and gives {w_dim}"
        raise BadFile(f"a class-conditional generator ({sizes}); bring one without labels")
    widths = {4 << (i + 1) // 2: len(state[f"layers.{i}.weight"]) for i in range(layers)}
    if (mean := network.config.get("latent_avg")) is not None:
        state["w_mean"] = mean.reshape(-1, w_dim).mean(0)
    arguments = {"resolution": 4 << layers // 2, "z_dim": z_dim, "w_dim": w_dim}
    arguments |= {"mapping_layers": mapping} | _channels(widths)
    return arguments | _generator_facts(network.config.get("layers", {})), state


def discriminator_from(network: Network) -> tuple[dict[str, Any], State]:
    """Arguments for `DiscriminatorConfig`, and the tensors under our names."""
    state = _ours(network)
    blocks = _count(state, r"blocks\.(\d+)\.skip\.weight")
    widths = {4 << blocks: len(state["from_rgb.weight"])} | {
        4 << blocks - 1 - i: len(state[f"blocks.{i}.conv1.weight"]) for i in range(blocks)
    }
    facts = _discriminator_facts(network.config.get("layers", {}))
    return {"resolution": 4 << blocks} | _channels(widths) | facts, state


def _ours(network: Network) -> State:
    _check_plain(network)
    of_generator = network.role != "discriminator"
    if (network.layout, of_generator) not in NAMES:
        raise BadFile(f"StyleGAN2 in the layout {network.layout} is not known")
    names = NAMES[network.layout, of_generator]
    if names is NVLABS_DISCRIMINATOR:
        top = max(_doublings(name[1:].partition(".")[0]) for name in network.tensors)
        names = names | {
            r"^b(\d+)\.(?=conv[01]|skip)": lambda m: f"blocks.{top - _doublings(m[1])}."
        }
    found = {}
    for name, tensor in network.tensors.items():
        if name.endswith((".kernel", "resample_filter")):
            continue
        for old, new in names.items():
            name = re.sub(old, new, name)
        found[name] = _with_axes(tensor.float(), name)
    if of_generator:
        _complete_noise(found)
    return found


def _complete_noise(found: State) -> None:
    """Early files have no noise images, and networks made without noise have no strengths."""
    rng = torch.Generator().manual_seed(0)
    have = {name.rpartition(".")[2] for name in found}
    for i in range(_count(found, r"layers\.(\d+)\.weight")):
        edge = 4 << (i + 1) // 2
        if "noise" not in have:
            found[f"layers.{i}.noise"] = torch.randn(edge, edge, generator=rng)
        if "noise_strength" not in have:
            found[f"layers.{i}.noise_strength"] = torch.zeros(())


def _with_axes(tensor: Tensor, name: str) -> Tensor:
    """Drop axes of length one that we do not have, leading ones first."""
    linear = re.search(r"mapping|affine|linear|out\.", name)
    wanted = AXES.get(name.rpartition(".")[2], 2 if linear else 4)
    while tensor.ndim > wanted and 1 in (tensor.shape[0], tensor.shape[-1]):
        tensor = tensor[0] if tensor.shape[0] == 1 else tensor[..., 0]
    if tensor.ndim != wanted:
        raise BadFile(f"{name} has the shape {tuple(tensor.shape)}, not {wanted} axes")
    return tensor


def _channels(widths: Mapping[int, int]) -> dict[str, int]:
    """Channel base and maximum that give these widths, by resolution."""
    top = max(widths.values())
    base = max(width * edge for edge, width in widths.items())
    for edge, width in widths.items():
        if min(base // edge, top) != width:
            rule = f"min({base} / resolution, {top})"
            raise BadFile(f"{width} channels at {edge} px do not follow {rule}")
    return {"channel_base": base, "channel_max": top}


def _generator_facts(layers: Mapping[str, Any]) -> dict[str, Any]:
    """What stored objects tell of a generator beside its tensors; nothing for plain tensors."""
    if "mapping.fc0." not in layers:
        multiplier = layers.get("style.1.", {}).get("lr_mul", MAPPING_LR)
        return {"mapping_lr_multiplier": multiplier} if layers else {}
    usual = layers[""]["init_kwargs"].get("mapping_kwargs", {}).get("lr_multiplier", MAPPING_LR)
    return _precision(layers, "synthesis.b4.conv1.") | {
        "mapping_lr_multiplier": layers["mapping.fc0."].get("bias_gain", usual)
    }


def _discriminator_facts(layers: Mapping[str, Any]) -> dict[str, Any]:
    if "b4.conv." not in layers:
        return {}
    usual = layers[""]["init_kwargs"].get("epilogue_kwargs", {}).get("mbstd_group_size", 4)
    group = layers.get("b4.mbstd.", {}).get("group_size", usual)
    # None stands for the whole batch.
    group = {"stddev_group": WHOLE_BATCH if group is None else group}
    return _precision(layers, "b4.conv.") | group


def _precision(layers: Mapping[str, Any], layer: str) -> dict[str, Any]:
    """Clamping and the number of resolutions in half precision."""
    made = layers[""]["init_kwargs"] | layers[""]["init_kwargs"].get("synthesis_kwargs", {})
    clamp = layers.get(layer, {}).get("conv_clamp", made.get("conv_clamp"))
    facts = {"conv_clamp": None if clamp is None else float(clamp)}
    halves = made.get("num_fp16_res", 0)
    return facts | ({"half_resolutions": halves} if halves else {})


def _check_plain(network: Network) -> None:
    """Refuse what shares the names of StyleGAN2 and is something else."""
    for name, tensor in network.tensors.items():
        if re.match(r"(mapping\.)?embed\.|b4\.cmap", name):
            raise BadFile(f"a class-conditional network ({name}); bring one without labels")
        if name.endswith((".kernel", "resample_filter")):
            kernel = tensor.float() / tensor.float().sum()
            if kernel.shape != (4, 4) or not torch.allclose(kernel, _blur(), atol=1e-3):
                raise BadFile(f"{name} is another low-pass filter than StyleGAN2's {BLUR}")
    for prefix, layer in network.config.get("layers", {}).items():
        if layer.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise BadFile(f"{prefix}activation is {layer['activation']!r}, not leaky ReLU")
        if layer.get("architecture", "skip") not in ("skip", "resnet"):
            raise BadFile(f"{prefix}architecture is {layer['architecture']!r}, not that of F")


def _blur() -> Tensor:
    taps = torch.tensor(BLUR)
    return taps.outer(taps) / taps.sum().square()


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers the pattern's group takes; they must follow each other from 0."""
    found = sorted({int(m[1]) for name in tensors if (m := re.fullmatch(pattern, name))})
    if found != list(range(len(found))):
        raise BadFile(f"layers are missing: of {pattern} there are only {found}")
    return len(found)


Constants = list[tuple[str, np.ndarray]]


def wavelet_state(name: str) -> State:
    """Tensors of a fetched MobileStyleGAN such as "ffhq", under the names of `WaveletGenerator`."""
    state = _mapping_state(read_constants(f"{name}-mapping"))
    state |= _synthesis_state(read_constants(f"{name}-synthesis"))
    return {key: torch.tensor(value) for key, value in state.items()}


def read_constants(network: str) -> Constants:
    """Names and float32 values of an OpenVINO network's constants, in the order of use."""
    path = asset_path(f"{network}.xml")
    try:
        operations = openvino.Core().read_model(path).get_ordered_ops()
    except RuntimeError as error:
        raise BadFile(f"{path} is no whole OpenVINO network: fetch it again") from error
    return [
        (operation.get_friendly_name(), operation.data.copy())
        for operation in operations
        if operation.get_type_name() == "Constant" and operation.data.dtype == np.float32
    ]


def _mapping_state(constants: Constants) -> dict[str, np.ndarray]:
    """The file's layers have the equalised learning rate multiplied out; ours do not."""
    state = {}
    weights = [v for _, v in constants if v.shape == (512, 512)]
    biases = [v.reshape(-1) for _, v in constants if v.size == 512]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        state[f"mapping.layers.{i}.weight"] = weight * (math.sqrt(512) / 0.01)
        state[f"mapping.layers.{i}.bias"] = bias / 0.01
    return state


def _synthesis_state(constants: Constants) -> dict[str, np.ndarray]:
    """Weights under our names, with the equalised learning rate moved into the convolutions."""
    named = {name.removeprefix("m."): v for name, v in constants if name.startswith("m.")}
    unnamed = [v for name, v in constants if not name.startswith("m.") and v.ndim == 4]
    dense = iter([v for v in unnamed if v.shape[0] > 1])
    noises = iter([v[0, 0] for v in unnamed if v.shape[:2] == (1, 1) and v.shape[2] > 1])
    state = {"const": named["input.input"][0]}
    n_blocks = sum(name.endswith(".up.modulation.weight") for name in named)

    def affine(theirs: str, ours: str) -> None:
        state[f"{ours}.weight"] = named[f"{theirs}.modulation.weight"]
        state[f"{ours}.bias"] = named[f"{theirs}.modulation.bias"].reshape(-1)

    def conv(theirs: str, ours: str) -> None:
        affine(f"{theirs}.conv", f"{ours}.affine")
        state[f"{ours}.bias"] = named[f"{theirs}.bias"].reshape(-1)
        state[f"{ours}.noise"] = next(noises)

    conv("conv1", "conv")
    weight = next(dense)
    state["conv.conv.weight"] = weight / math.sqrt(weight[0].size)
    for i in range(n_blocks):
        affine(f"layers.{i}.up", f"blocks.{i}.up")
        for k in (0, 1):
            theirs, ours = f"layers.{i}.conv{k + 1}", f"blocks.{i}.conv{k}"
            conv(theirs, ours)
            depthwise = named[f"{theirs}.conv.weight_dw"][:, :, 0]
            state[f"{ours}.conv.0.weight"] = depthwise / math.sqrt(9 * len(depthwise))
            state[f"{ours}.conv.1.weight"] = next(dense)
    last = f"layers.{n_blocks - 1}.to_img"
    affine(f"{last}.conv", "to_wavelets.affine")
    weight = named[f"{last}.conv.weight"]
    state["to_wavelets.conv.weight"] = weight / math.sqrt(weight[0].size)
    state["to_wavelets.conv.bias"] = named[f"{last}.bias"].reshape(-1)
    return state
