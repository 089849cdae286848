"""Public StyleGAN2 files -> our generators and discriminators.

All layouts agree in the values: convolutions are stored as correlations, weights before equalised
learning rate. They differ in names, in axes of length one, and in what they leave unsaid.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xfer.checkpoints import Network, stored_config
from xfer.errors import BadFile
from xfer.stylegan2.layers import BLUR

MAPPING_LR = 0.01
"""Learning rate multiplier of the mapping network, where a file does not state it."""

WHOLE_BATCH = 1 << 16
"""A minibatch standard deviation group that no batch exceeds."""

AXES = {"noise_strength": 0, "bias": 1, "w_mean": 1, "noise": 2, "const": 3}
"""Axes of our tensors by the last part of their name; weights have two in linear layers, else 4."""

State = dict[str, Tensor]

Names = dict[str, str]
"""Ours -> theirs. A generator's layers go up from 4 px, a discriminator's blocks down to it."""


def generator_from(network: Network) -> tuple[dict[str, Any], State]:
    """Arguments for `GeneratorConfig`, and the tensors under our names.

    The state lacks `w_mean` where the file has no mean. A file without noise images gets ones
    sampled from a fixed seed.
    """
    if network.layout == "xfer":
        return _stored(network), network.tensors
    state = _ours(network)
    layers = _count(state, r"layers\.(\d+)\.weight")
    mapping = _count(state, r"mapping\.layers\.(\d+)\.weight")
    if layers % 2 == 0 or not mapping:
        raise BadFile(f"{layers} layers and {mapping} mapping layers make no generator")
    w_dim, z_dim = state["mapping.layers.0.weight"].shape
    # A label's embedding is appended to z; only NVlabs' layout has a z that is not as wide as w.
    if z_dim != w_dim and (network.layout == "rosinality" or z_dim == 2 * w_dim):
        raise BadFile(
            f"a class-conditional generator (its mapping takes {z_dim} numbers and gives {w_dim}), "
            "which xfer does not have; bring one that was trained without labels"
        )
    widths = {4 << (i + 1) // 2: len(state[f"layers.{i}.weight"]) for i in range(layers)}
    if (mean := network.config.get("latent_avg")) is not None:
        state["w_mean"] = mean.reshape(-1, w_dim).mean(0)
    arguments = {"resolution": 4 << layers // 2, "z_dim": z_dim, "w_dim": w_dim}
    arguments |= {"mapping_layers": mapping} | _channels(widths)
    return arguments | _generator_facts(network.config.get("layers", {})), state


def discriminator_from(network: Network) -> tuple[dict[str, Any], State]:
    """Arguments for `DiscriminatorConfig`, and the tensors under our names."""
    if network.layout == "xfer":
        return _stored(network), network.tensors
    state = _ours(network)
    blocks = _count(state, r"blocks\.(\d+)\.skip\.weight")
    widths = {4 << blocks: len(state["from_rgb.weight"])} | {
        4 << blocks - 1 - i: len(state[f"blocks.{i}.conv1.weight"]) for i in range(blocks)
    }
    facts = _discriminator_facts(network.config.get("layers", {}))
    return {"resolution": 4 << blocks} | _channels(widths) | facts, state


def _stored(network: Network) -> dict[str, Any]:
    config = stored_config(dict, network)
    if not isinstance(config.get("conv_clamp"), float | int | None):
        raise BadFile(f"conv_clamp is a number; the header says {config['conv_clamp']!r:.40}")
    return config


def _ours(network: Network) -> State:
    """The tensors under our names."""
    tensors, of_generator = network.tensors, network.role != "discriminator"
    _check_plain(network)
    if network.layout == "rosinality" and of_generator:
        layers = 1 + _count(tensors, r"convs\.(\d+)\..+")
        table = _rosinality_generator(layers, _count(tensors, r"style\.(\d+)\..+", 1))
    elif network.layout == "rosinality":
        table = _rosinality_discriminator(_count(tensors, r"convs\.(\d+)\..+") - 1)
    elif network.layout == "nvlabs" and of_generator:
        blocks = _count_doublings(tensors, r"synthesis\.b(\d+)\..+")
        table = _nvlabs_generator(2 * blocks - 1, _count(tensors, r"mapping\.fc(\d+)\..+"))
    elif network.layout == "nvlabs":
        table = _nvlabs_discriminator(_count_doublings(tensors, r"b(\d+)\..+") - 1)
    else:
        raise BadFile(f"StyleGAN2 in the layout {network.layout} is not known")
    found = {
        ours: _with_axes(tensors[theirs].float(), ours)
        for ours, theirs in table.items()
        if theirs in tensors
    }
    _complete_noise(found, sum(ours.endswith(".noise") for ours in table))
    missing = [theirs for ours, theirs in table.items() if ours not in found and ours != "w_mean"]
    if missing:
        raise BadFile(f"{len(missing)} tensors are missing: {', '.join(missing[:3])}, ...")
    return found


def _complete_noise(found: State, layers: int) -> None:
    """Early files have no noise images, and networks made without noise have no strengths."""
    rng = torch.Generator().manual_seed(0)
    have = {name.rpartition(".")[2] for name in found}
    for i in range(layers):
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
            raise BadFile(
                f"{width} channels at {edge} px do not follow min(base / resolution, maximum) "
                f"with base {base} and maximum {top}"
            )
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
            raise BadFile(
                f"a class-conditional network ({name}), which xfer does not have; bring one that "
                "was trained without labels"
            )
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


def _count(tensors: Mapping[str, Tensor], pattern: str, first: int = 0) -> int:
    """How many numbers the pattern's group takes; they must follow each other from `first`."""
    found = sorted({int(m[1]) for name in tensors if (m := re.fullmatch(pattern, name))})
    if found != list(range(first, first + len(found))):
        raise BadFile(f"layers are missing: of {pattern} there are only {found}")
    return len(found)


def _count_doublings(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """The same for 4, 8, 16, ..."""
    found = sorted({int(m[1]) for name in tensors if (m := re.fullmatch(pattern, name))})
    if found != [4 << i for i in range(len(found))]:
        raise BadFile(f"resolutions are missing: of {pattern} there are only {found}")
    return len(found)


def _rosinality_generator(layers: int, mapping: int) -> Names:
    names = {"const": "input.input"}
    for i in range(mapping):
        names |= _under(f"mapping.layers.{i}", f"style.{i + 1}", "weight", "bias")
    for i in range(layers):
        theirs = f"convs.{i - 1}" if i else "conv1"
        names |= _under(f"layers.{i}.affine", f"{theirs}.conv.modulation", "weight", "bias")
        names |= {
            f"layers.{i}.weight": f"{theirs}.conv.weight",
            f"layers.{i}.bias": f"{theirs}.activate.bias",
            f"layers.{i}.noise_strength": f"{theirs}.noise.weight",
            f"layers.{i}.noise": f"noises.noise_{i}",
        }
    for i in range((layers + 1) // 2):
        theirs = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        names |= _under(f"to_rgb.{i}.affine", f"{theirs}.conv.modulation", "weight", "bias")
        names |= {
            f"to_rgb.{i}.weight": f"{theirs}.conv.weight",
            f"to_rgb.{i}.bias": f"{theirs}.bias",
        }
    return names


def _nvlabs_generator(layers: int, mapping: int) -> Names:
    names = {"const": "synthesis.b4.const", "w_mean": "mapping.w_avg"}
    for i in range(mapping):
        names |= _under(f"mapping.layers.{i}", f"mapping.fc{i}", "weight", "bias")
    for i in range(layers):
        theirs = f"synthesis.b{4 << (i + 1) // 2}.conv{(i + 1) % 2}"
        names |= _under(f"layers.{i}.affine", f"{theirs}.affine", "weight", "bias")
        names |= _under(f"layers.{i}", theirs, "weight", "bias", "noise_strength")
        names[f"layers.{i}.noise"] = f"{theirs}.noise_const"
    for i in range((layers + 1) // 2):
        theirs = f"synthesis.b{4 << i}.torgb"
        names |= _under(f"to_rgb.{i}.affine", f"{theirs}.affine", "weight", "bias")
        names |= _under(f"to_rgb.{i}", theirs, "weight", "bias")
    return names


def _rosinality_discriminator(blocks: int) -> Names:
    names = {"from_rgb.weight": "convs.0.0.weight", "from_rgb.bias": "convs.0.1.bias"}
    for i in range(blocks):
        theirs = f"convs.{i + 1}"
        names |= {
            f"blocks.{i}.conv0.weight": f"{theirs}.conv1.0.weight",
            f"blocks.{i}.conv0.bias": f"{theirs}.conv1.1.bias",
            f"blocks.{i}.conv1.weight": f"{theirs}.conv2.1.weight",
            f"blocks.{i}.conv1.bias": f"{theirs}.conv2.2.bias",
            f"blocks.{i}.skip.weight": f"{theirs}.skip.1.weight",
        }
    names |= {"conv.weight": "final_conv.0.weight", "conv.bias": "final_conv.1.bias"}
    names |= _under("linear", "final_linear.0", "weight", "bias")
    return names | _under("out", "final_linear.1", "weight", "bias")


def _nvlabs_discriminator(blocks: int) -> Names:
    names = _under("from_rgb", f"b{4 << blocks}.fromrgb", "weight", "bias")
    for i in range(blocks):
        theirs = f"b{4 << blocks - i}"
        for part in ("conv0", "conv1"):
            names |= _under(f"blocks.{i}.{part}", f"{theirs}.{part}", "weight", "bias")
        names |= _under(f"blocks.{i}.skip", f"{theirs}.skip", "weight")
    for ours, theirs in {"conv": "b4.conv", "linear": "b4.fc", "out": "b4.out"}.items():
        names |= _under(ours, theirs, "weight", "bias")
    return names


def _under(ours: str, theirs: str, *parts: str) -> Names:
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in parts}
