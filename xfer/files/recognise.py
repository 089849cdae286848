"""Which networks a file holds, told from its structure and its tensors' names."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from xfer.errors import BadFile
from xfer.files import container
from xfer.files.allowed import Array
from xfer.files.checkpoint import Network
from xfer.files.nvlabs import Module

MARKS = (
    ("conv1.conv.modulation.weight", "generator", "rosinality"),
    ("final_linear.0.weight", "discriminator", "rosinality"),
    ("synthesis.b4.const", "generator", "nvlabs"),
    ("b4.out.weight", "discriminator", "nvlabs"),
    ("output_layer_2.0.weight", "motion_encoder", "paper"),
    ("linear_relu.0.weight", "mapper", "paper"),
    ("styles.0.linear.weight", "identity_encoder", "psp"),
    ("output_layer.3.weight", "face_recogniser", "arcface"),
)
"""A tensor that only this network has; its role; whose names these are."""

WRAPPED = {"g_ema": "generator", "g": "generator_raw", "d": "discriminator"}
"""Keys of files of the rosinality layout."""

NVLABS = {"G_ema": "generator", "G": "generator_raw", "D": "discriminator"}
"""Keys of files of the NVlabs layout."""

PARTS = ("encoder.", "decoder.", "mapping_net.")
"""Outer prefixes in files that hold a whole model."""

Found = tuple[str, dict[str, Network], dict[str, Any]]


def recognise(tree: Any, header: dict[str, Any] | None = None) -> Found:
    """Layout, networks by role, and facts.

    Args:
        tree: What the file holds.
        header: That of our own files.
    """
    if header is not None:
        return _ours(tree, header)
    if isinstance(tree, Module):
        tree = {"G_ema" if "synthesis" in tree.children else "D": tree}
    if not isinstance(tree, dict):
        raise BadFile(f"a checkpoint is a dictionary; this file holds a {type(tree).__name__}")
    if any(isinstance(value, Module) for value in tree.values()):
        return _nvlabs(tree)
    if isinstance(tree.get("state_dict"), dict):
        return _parts(tree["state_dict"], _facts(tree))
    if any(isinstance(tree.get(key), dict) and tree[key] for key in WRAPPED):
        found = [_network(tree[key], role) for key, role in WRAPPED.items() if tree.get(key)]
        return "rosinality", _by_role(found, _facts(tree)), _facts(tree)
    return _parts(tree, _facts(tree))


def _ours(tensors: dict[str, Tensor], header: dict[str, Any]) -> Found:
    if header.get("format") != container.FORMAT:
        raise BadFile(
            f"this file has format {header.get('format')}; this version of xfer reads "
            f"format {container.FORMAT}"
        )
    parts: dict[str, dict[str, Tensor]] = {role: {} for role in (*header["networks"], "facts")}
    for name, tensor in tensors.items():
        role, _, inner = name.partition("/")
        if role not in parts:
            raise BadFile(f"tensor {name} belongs to no network that the header names")
        parts[role][inner] = tensor
    facts = header["facts"] | parts.pop("facts")
    networks = {
        role: Network(role, "xfer", state, header["networks"][role])
        for role, state in parts.items()
    }
    return "xfer", networks, facts


def _nvlabs(tree: dict[str, Any]) -> Found:
    networks = {
        role: Network(role, "nvlabs", tree[key].all_tensors(), tree[key].facts())
        for key, role in NVLABS.items()
        if isinstance(tree.get(key), Module)
    }
    if not networks:
        raise BadFile(f"no network under the keys G_ema, G or D; the keys are {_keys(tree)}")
    return "nvlabs", networks, {}


def _parts(state: dict[str, Any], facts: dict[str, Any]) -> Found:
    """A flat state dict: one network, or several under outer prefixes."""
    state = {str(name).removeprefix("module."): value for name, value in state.items()}
    found = [
        _network({n.removeprefix(p): t for n, t in state.items() if n.startswith(p)})
        for p in PARTS
        if any(name.startswith(p) for name in state)
    ] or [_network(state)]
    layouts = [network.layout for network in found]
    named = [layout for layout in ("paper", "psp") if layout in layouts]
    return (named + layouts)[0], _by_role(found, facts), facts


def _by_role(found: list[Network], facts: dict[str, Any]) -> dict[str, Network]:
    """Networks by role; those that need the file's mean latent are told it."""
    mean = facts.get("latent_avg")
    told = {"latent_avg": mean} if isinstance(mean, Tensor) else {}
    return {
        network.role: replace(network, config=told)
        if network.role.startswith(("generator", "identity_encoder"))
        else network
        for network in found
    }


def _network(state: dict[str, Any], role: str | None = None) -> Network:
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
    found = next(((usual, layout) for mark, usual, layout in MARKS if mark in tensors), None)
    if found is None:
        raise BadFile(f"no network that xfer knows; it begins with {_keys(state)}")
    usual, layout = found
    if role is not None and not role.startswith(usual):
        raise BadFile(f"a {usual.replace('_', ' ')} stands where a {role} should")
    return Network(role or usual, layout, tensors)


def _facts(tree: dict[str, Any]) -> dict[str, Any]:
    facts = {key: tree[key] for key in ("latent_avg", "opts") if tree.get(key) is not None}
    if isinstance(facts.get("opts"), dict):
        opts = facts["opts"].items()
        facts["opts"] = {k: v.value if isinstance(v, Array) else v for k, v in opts}
    return facts


def _keys(tree: dict[str, Any]) -> str:
    names = [str(key)[:60] for key in tree]
    return ", ".join(names[:4]) + (", ..." if names[4:] else "") if names else "nothing"
