"""Reading a checkpoint of any layout: checked first, then taken apart, never executed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from xfer.errors import BadFile, XferError
from xfer.files import container, records, registry
from xfer.files.checkpoint import Checkpoint, Network
from xfer.files.nvlabs import read_nvlabs
from xfer.files.recognise import recognise
from xfer.files.torchfiles import is_torch, read_torch

Built = TypeVar("Built", bound=nn.Module)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of any known layout onto the CPU.

    Args:
        path: A file, the name of a shipped file ("small") or of a fetched public one.

    Raises:
        MissingFile: There is no such file or name.
        BadFile: The file is damaged, hostile, or holds no network that we know.
    """
    path = registry.locate(path)
    try:
        _check_readable(path)
        recorded = records.check(path)
        layout, networks, facts = _parse(path, sealed=not recorded)
        _check_size(path, networks)
        for network in networks.values():
            _check_finite(network.role, network.tensors)
        _check_finite("file", facts)
    except XferError as error:
        raise _about(path, error) from None
    except Exception as error:  # parsers of damaged bytes raise anything
        raise BadFile(
            f"{path} is damaged or no checkpoint ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    return Checkpoint(path, layout, networks, facts)


def load_network(
    source: str | Path | Checkpoint, role: str, build: Callable[[Network], Built]
) -> Built:
    """Read a file and build the network of one role; every failure is one `BadFile`.

    Args:
        source: As for `read_checkpoint`, or what it gave.
        build: Makes the network from its tensors and configuration.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    network = checkpoint.pick(role)
    try:
        return build(network)
    except XferError as error:
        raise _about(checkpoint.path, error) from None
    except Exception as error:  # a configuration or tensors that make no sense
        raise BadFile(
            f"{checkpoint.path}: no {role.replace('_', ' ')} can be built from this file "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _about(path: Path, error: XferError) -> BadFile:
    """The same complaint as a `BadFile` that names the file."""
    message = str(error)
    return BadFile(message if str(path) in message else f"{path}: {message}")


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise BadFile(f"{path} is a folder; a checkpoint is one file")
    if not path.is_file():
        raise BadFile(f"{path} is no regular file")
    if not os.access(path, os.R_OK):
        raise BadFile(f"{path} cannot be read: no permission")
    if path.stat().st_size == 0:
        raise BadFile(f"{path} is empty; fetch or copy it again")


def _parse(path: Path, sealed: bool):
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{" or path.suffix == ".safetensors":
        if sealed:
            container.check_seal(path)
        return recognise(*container.read_safetensors(path))
    if is_torch(start):
        return recognise(read_torch(path))
    if start[:1] == b"\x80":
        return recognise(read_nvlabs(path))
    raise BadFile("not a checkpoint: neither safetensors nor a PyTorch file nor a pickle")


def _check_size(path: Path, networks: Mapping[str, Network]) -> None:
    """Views of the same numbers, many times over, would keep every later step busy for hours."""
    tensors = [tensor for network in networks.values() for tensor in network.tensors.values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > 8 * path.stat().st_size + (1 << 26):
        raise BadFile(
            f"a file of {path.stat().st_size} bytes with {size} bytes of tensors: refused"
        )


def _check_finite(whose: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            low, high = torch.aminmax(value)
            if not (torch.isfinite(low) and torch.isfinite(high)):
                raise BadFile(
                    f"the {whose.replace('_', ' ')}'s tensor {name} holds NaN or infinity; "
                    "the file is damaged or its training failed"
                )
