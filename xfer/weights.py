"""Weights by path or name: the right network for a file, and files in another layout."""

from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import nn

from xfer.checkpoints import read_checkpoint, write_checkpoint
from xfer.errors import BadFile

CLASSES = {
    "identity_encoder": "xfer.encoders:IdentityEncoder",
    "motion_encoder": "xfer.encoders:MotionEncoder",
    "mapper": "xfer.mapper:Mapper",
    "control": "xfer.control:Control",
    "face_recogniser": "xfer.recognition:FaceRecogniser",
    "preview": "xfer.stylegan2.wavelet:Preview",
    "generator": "xfer.stylegan2.generator:Generator",
    "generator_raw": "xfer.stylegan2.generator:Generator",
    "discriminator": "xfer.stylegan2.discriminator:Discriminator",
}
"""Whose network a role is. In a file of several the first in this order is what it is for."""


def load(path: str | Path) -> nn.Module:
    """Whichever network a file holds: the whole model if it is all there, else its main part.

    Args:
        path: A file of any known layout, or a name that `xfer weights` lists ("ffhq").
    """
    checkpoint = read_checkpoint(path)
    roles = checkpoint.networks.keys()
    if "control" in roles or {"motion_encoder", "mapper"} <= roles:
        return resolve_name("xfer.model:Transfer").load(checkpoint)
    role = next((role for role in CLASSES if role in roles), None)
    if role is None:
        raise BadFile(f"{checkpoint.path} holds only {', '.join(roles)}: unknown here")
    return resolve_name(CLASSES[role]).load(checkpoint, role)


def convert(
    path: str | Path, out: str | Path, more: tuple[str | Path, ...] = (), half: bool = False
) -> Path:
    """Write a file's networks in our own layout.

    Args:
        out: The new file, ".safetensors".
        more: Further files whose networks are added; the last of a role counts.
        half: Store what was learned as float16, which halves the file.
    """
    packed, facts = {}, {}
    for source in (path, *more):
        checkpoint = read_checkpoint(source)
        for role in checkpoint.networks:
            built = resolve_name(CLASSES[role]).load(checkpoint, role)
            packed[role] = built.pack(torch.float16 if half else None)
        if all(network.layout == "xfer" for network in checkpoint.networks.values()):
            facts |= checkpoint.facts
    names = [Path(source).name for source in (path, *more)]
    return write_checkpoint(out, packed, facts | {"converted_from": ", ".join(names)})
