"""A checkpoint as plain tensors and facts, and how a network is filled from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xfer.errors import BadFile


@dataclass(frozen=True)
class Network:
    """One network of a file."""

    role: str
    """generator, generator_raw (not averaged), discriminator, motion_encoder, identity_encoder,
    mapper, face_recogniser, factor_reader, ..."""
    layout: str
    """Whose tensor names: xfer, rosinality, nvlabs, psp, paper, arcface."""
    tensors: dict[str, Tensor]
    """By the name inside the network, without outer prefix."""
    config: dict[str, Any] = field(default_factory=dict)
    """What the file says of the network beside its tensors; empty for plain state dicts."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a file holds."""

    path: Path
    layout: str
    networks: dict[str, Network]
    """By role."""
    facts: dict[str, Any] = field(default_factory=dict)
    """latent_avg, opts, ...: as far as the file has them."""

    def pick(self, role: str) -> Network:
        """The network of a role, or `BadFile` that says what there is instead.

        A generator that was not averaged serves where there is no other.
        """
        if role == "generator" and role not in self.networks:
            role = "generator_raw" if "generator_raw" in self.networks else role
        if role not in self.networks:
            have = ", ".join(name.replace("_", " ") for name in self.networks)
            wanted = _one(role.replace("_", " "))
            raise BadFile(f"{self.path} should hold {wanted}; it holds: {have}")
        return self.networks[role]


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network; names and shapes must agree, else one `BadFile` tells all."""
    compare(module, state)
    with torch.no_grad():
        module.load_state_dict(dict(state))


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise one `BadFile` that tells which names and shapes do not agree."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {_shape(state[name])} and should be {_shape(wanted[name])}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    faults = [
        f"{len(names)} tensors {word} ({', '.join(names[:3])}{', ...' if names[3:] else ''})"
        for word, names in (("missing", missing), ("unknown", unknown), ("misshapen", shapes))
        if names
    ]
    if faults:
        raise BadFile(f"the tensors do not fit {_one(type(module).__name__)}: {'; '.join(faults)}")


def _one(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
