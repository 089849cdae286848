"""Weights by path or name: the right network for a file, and files in another layout."""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xfer.checkpoints import load_network, read_checkpoint, write_checkpoint
from xfer.errors import BadFile, BadValue
from xfer.runs import atomic
from xfer.stylegan2.layouts import discriminator_to_rosinality, generator_to_rosinality

CLASSES = {
    "identity_encoder": "xfer.encoders:IdentityEncoder",
    "motion_encoder": "xfer.encoders:MotionEncoder",
    "mapper": "xfer.mapper:Mapper",
    "control": "xfer.control:Control",
    "face_recogniser": "xfer.recognition:FaceRecogniser",
    "latent_mask": "xfer.baselines:LatentMask",
    "preview": "xfer.stylegan2.preview:Preview",
    "generator": "xfer.stylegan2.generator:Generator",
    "generator_raw": "xfer.stylegan2.generator:Generator",
    "discriminator": "xfer.stylegan2.discriminator:Discriminator",
}
"""Whose network a role is. In a file of several the first in this order is what it is for."""

KEYS = {"generator": "g_ema", "generator_raw": "g", "discriminator": "d"}
"""Where the rosinality layout keeps a network."""


def load(path: str | Path) -> nn.Module:
    """Whichever network a file holds: the whole model if it is all there, else its main part.

    Args:
        path: A file of any known layout, or a name that `xfer weights` lists ("ffhq").
    """
    checkpoint = read_checkpoint(path)
    roles = checkpoint.networks.keys()
    if "control" in roles or {"motion_encoder", "mapper"} <= roles:
        return _class("xfer.model:Transfer").load(checkpoint)
    role = next((role for role in CLASSES if role in roles), None)
    if role is None:
        raise BadFile(f"{checkpoint.path} holds only {', '.join(roles)}: unknown here")
    return load_network(checkpoint, role, _class(CLASSES[role]).from_network)


def convert(path: str | Path, out: str | Path, half: bool = False) -> Path:
    """Write a file's networks in another layout.

    Args:
        out: The new file: ".safetensors" for our own layout, ".pt" for rosinality's (generators
            and discriminators only).
        half: Store what was learned as float16, which halves the file; our own layout only.
    """
    checkpoint, out = read_checkpoint(path), Path(out)
    to_ours = out.suffix == ".safetensors"
    homeless = [role for role in checkpoint.networks if not to_ours and role not in KEYS]
    if out.suffix not in (".safetensors", ".pt") or homeless or (half and not to_ours):
        raise BadValue(
            "networks are written as .safetensors, or generators and discriminators in full "
            f"precision as .pt; got {out.name} for {', '.join(checkpoint.networks)}"
        )
    built = {
        role: load_network(checkpoint, role, _class(CLASSES[role]).from_network)
        for role in checkpoint.networks
    }
    if to_ours:
        packed = {role: n.pack(torch.float16 if half else None) for role, n in built.items()}
        ours = any(network.layout == "xfer" for network in checkpoint.networks.values())
        facts = checkpoint.facts if ours else {}
        return write_checkpoint(out, packed, facts | {"converted_from": checkpoint.path.name})
    file: dict[str, Any] = {}
    for role, network in built.items():
        if role == "discriminator":
            file[KEYS[role]] = discriminator_to_rosinality(network.state_dict())
        else:
            file[KEYS[role]] = generator_to_rosinality(*network.pack())
            file.setdefault("latent_avg", network.w_mean.clone())
    with atomic(out) as temporary:
        torch.save(file, temporary)
    return out


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
