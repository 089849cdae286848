"""Checkpoint files as a user meets them: load, list, fetch, verify, inspect, convert."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xfer.errors import BadFile, expect
from xfer.files import (
    Checkpoint,
    load_network,
    read_checkpoint,
    records,
    registry,
    write_checkpoint,
)
from xfer.files.checkpoint import compare
from xfer.files.fetching import admit, fetch
from xfer.runs import atomic
from xfer.stylegan2.layouts import discriminator_to_rosinality, generator_to_rosinality

__all__ = ["convert", "fetch", "inspect", "known", "load", "verify"]

CLASSES = {
    "style_mask": "xfer.rival:StyleMask",
    "identity_encoder": "xfer.encoders:IdentityEncoder",
    "motion_encoder": "xfer.encoders:MotionEncoder",
    "mapper": "xfer.mapper:Mapper",
    "face_recogniser": "xfer.instruments:FaceRecogniser",
    "factor_reader": "xfer.instruments:FactorReader",
    "generator": "xfer.stylegan2.generator:Generator",
    "generator_raw": "xfer.stylegan2.generator:Generator",
    "discriminator": "xfer.stylegan2.discriminator:Discriminator",
    "controls": "xfer.controls:Controls",
    "landmark_reader": "xfer.controls:LandmarkReader",
}
"""Whose network a role is. In a file of several the first in this order is what it is for."""

KEYS = {"generator": "g_ema", "generator_raw": "g", "discriminator": "d"}
"""Where the rosinality layout keeps a network."""


def load(path: str | Path) -> nn.Module:
    """Whichever network a file holds: the whole model if it is all there, else its main part.

    Args:
        path: A file of any known layout, or the name of a shipped or fetched one.
    """
    checkpoint = read_checkpoint(path)
    if {"motion_encoder", "mapper", "generator"} <= checkpoint.networks.keys():
        return _class("xfer.model:Transfer").load(checkpoint.path)
    role = next((role for role in CLASSES if role in checkpoint.networks), None)
    if role is None:
        raise BadFile(
            f"{checkpoint.path} holds only {', '.join(checkpoint.networks)}: unknown here"
        )
    return _class(CLASSES[role]).load(checkpoint.path)


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def known() -> Iterator[dict[str, str]]:
    """One row for every shipped and public file: name, state, what, licence, origin, size."""
    for name, path in registry.shipped().items():
        size = _megabytes(path.stat().st_size)
        row = {"what": "shipped with xfer", "licence": "MIT", "origin": str(path), "size": size}
        yield {"name": name, "state": "here"} | row
    for name, item in registry.PUBLIC.items():
        path = registry.place(name)
        size = path.stat().st_size if path.exists() else item.size
        yield {
            "name": name,
            "state": "fetched" if path.exists() else "to fetch",
            "what": item.what,
            "licence": item.licence,
            "origin": f"{item.page} ({item.address})",
            "size": _megabytes(size),
        }


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"


def inspect(path: str | Path) -> tuple[Checkpoint, list[dict[str, str]]]:
    """A file's content, and one row for every network in it."""
    checkpoint = read_checkpoint(path)
    rows = [
        {
            "network": network.role.replace("_", " "),
            "layout": network.layout,
            "tensors": str(len(network.tensors)),
            "numbers": f"{sum(t.numel() for t in network.tensors.values()):,}",
            "kind": ", ".join(sorted({str(t.dtype)[6:] for t in network.tensors.values()})),
        }
        for network in checkpoint.networks.values()
    ]
    return checkpoint, rows


def verify(path: str | Path) -> str:
    """Read a file whole and compare it with its recorded sha256; says what was found.

    A public file that was put in place by hand is recorded here, as a fetched one would be.
    """
    checkpoint = read_checkpoint(path)
    place, holds = checkpoint.path, ", ".join(checkpoint.networks).replace("_", " ")
    if records.recorded(place) is not None:
        return f"{place} is whole: its sha256 is the recorded one ({holds})"
    if str(path) in registry.PUBLIC:
        digest = admit(place, registry.PUBLIC[str(path)], place)
        return f"{place} can be read ({holds}); its sha256 {digest} is recorded from now on"
    return (
        f"{place} can be read ({holds}); no sha256 is recorded for it, it is "
        f"{records.sha256(place)}"
    )


def convert(path: str | Path, to: str, out: str | Path | None = None, half: bool = False) -> Path:
    """Write a file's networks in another layout.

    Args:
        to: "xfer" (safetensors) or "rosinality" (.pt: generators and discriminator only; it has no
            place for conv_clamp).
        out: The new file; by default beside the old one.
        half: Store what was learned as float16, which halves the file; xfer's layout only.
    """
    expect(to in ("xfer", "rosinality"), f"to is xfer or rosinality; got {to!r}")
    expect(not half or to == "xfer", "only xfer's own layout stores half precision")
    checkpoint = read_checkpoint(path)
    suffix = ".safetensors" if to == "xfer" else ".pt"
    out = Path(out) if out else checkpoint.path.with_name(f"{checkpoint.path.stem}-{to}{suffix}")
    expect(not out.exists(), f"{out} exists already; choose another name")
    _expect_place(checkpoint, to)
    built = {role: _built(checkpoint, role) for role in checkpoint.networks}
    if to == "xfer":
        dtype = torch.float16 if half else None
        packed = {role: network.pack(dtype) for role, network in built.items()}
        kept = dict(checkpoint.facts) if checkpoint.layout == "xfer" else {}
        return write_checkpoint(out, packed, kept | {"converted_from": checkpoint.layout})
    with atomic(out) as temporary:
        torch.save(_rosinality(built), temporary)
    records.record(out)
    return out


def blend(first: str | Path, second: str | Path, share: float, out: str | Path) -> Path:
    """Write networks whose weights lie between those of two files, one trained on from the other.

    Of a generator and what a game has made of it, some share has the latter's sharpness without its
    grain (network interpolation: Wang et al., "ESRGAN", 2018; Wortsman et al., 2022).
    Networks that grew up apart do not blend.

    Args:
        share: 0 is the first, 1 the second.
        out: The new file: the networks that both have, with the first one's facts.
    """
    expect(0 <= share <= 1, f"a share lies between 0 and 1; got {share:g}")
    out, files = Path(out), [read_checkpoint(path) for path in (first, second)]
    expect(not out.exists(), f"{out} exists already; choose another name")
    roles = [role for role in files[0].networks if role in files[1].networks]
    expect(roles, f"{first} and {second} have no network in common")
    packed = {}
    for role in roles:
        network, other = (_built(checkpoint, role) for checkpoint in files)
        state = other.state_dict()
        compare(network, state)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(state[name].to(value), share)
        packed[role] = network.pack()
    names = [checkpoint.path.name for checkpoint in files]
    return write_checkpoint(out, packed, files[0].facts | {"blended": [*names, share]})


def _built(checkpoint: Checkpoint, role: str) -> nn.Module:
    if role not in CLASSES:
        raise BadFile(f"{checkpoint.path}: a {role.replace('_', ' ')} cannot be built on its own")
    return load_network(checkpoint, role, _class(CLASSES[role]).from_network)


def _expect_place(checkpoint: Checkpoint, to: str) -> None:
    homeless = [] if to == "xfer" else [r for r in checkpoint.networks if r not in KEYS]
    expect(not homeless, f"the layout {to} has no place for: {', '.join(homeless)}")


def _rosinality(built: dict[str, nn.Module]) -> dict[str, Any]:
    """Generators and discriminator as a file of that layout."""
    file: dict[str, Any] = {}
    for role, network in built.items():
        if role == "discriminator":
            file[KEYS[role]] = discriminator_to_rosinality(network.state_dict())
        else:
            file[KEYS[role]] = generator_to_rosinality(*network.pack())
            file.setdefault("latent_avg", network.w_mean.clone())
    return file
