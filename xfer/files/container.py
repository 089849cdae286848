"""Our own checkpoint file: safetensors, with configuration and facts in its header.

Tensors are named `role/name`; the header's metadata holds, as JSON under "xfer", the format's
version, the configuration of every network and the facts, and under "sha256" a seal: the hash of
the whole file with the seal itself written as zeros. So a file is protected against every flipped
bit even where the record beside it (see records.py) was lost.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from xfer.errors import BadFile, expect
from xfer.files import records
from xfer.runs import atomic

FORMAT = 1
UNSEALED = "0" * 64
MAX_HEADER_BYTES = 32 << 20


def write_checkpoint(
    path: str | Path,
    networks: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Tensor]]],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write networks into one file, atomically, and its sha256 beside it.

    Args:
        path: Ends in ".safetensors".
        networks: Configuration (JSON-able) and state dict of every network, by role.
        facts: Anything JSON-able, or tensors.
    """
    path, facts = Path(path), dict(facts or {})
    expect(path.suffix == ".safetensors", f"checkpoints end in .safetensors; got {path.name}")
    expect(networks, "a checkpoint holds at least one network; got none")
    expect(not any("/" in role or role == "facts" for role in networks), "a role is one plain word")
    tensors = {
        f"{role}/{name}": value
        for role, (_, state) in networks.items()
        for name, value in state.items()
    } | {f"facts/{name}": value for name, value in facts.items() if isinstance(value, Tensor)}
    header = {
        "format": FORMAT,
        "networks": {role: dict(config) for role, (config, _) in networks.items()},
        "facts": {name: value for name, value in facts.items() if not isinstance(value, Tensor)},
    }
    metadata = {"xfer": json.dumps(header, allow_nan=False), "sha256": UNSEALED}
    # Safetensors refuses tensors that share memory, as expanded buffers do.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    records.record_path(path).unlink(missing_ok=True)  # never leave an old hash beside new data
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)
        _seal(temporary)
    records.record(path)
    return path


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """All tensors, and our header; None as header for a safetensors file of another origin."""
    _header(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors, json.loads(metadata["xfer"]) if "xfer" in metadata else None


def check_seal(path: Path) -> None:
    """Raise `BadFile` if one of our files is not what was written; others pass."""
    metadata = _header(path).get("__metadata__", {})
    if not {"xfer", "sha256"} & metadata.keys():
        return
    if _hash_unsealed(path, metadata.get("sha256", UNSEALED)) != metadata.get("sha256"):
        raise BadFile(f"{path} is damaged: its content is not what its seal says; fetch it again")


def _header(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(path.stat().st_size - 8, MAX_HEADER_BYTES):
            raise BadFile(
                f"{path} is damaged: its header would be {length} bytes long, "
                f"in a file of {path.stat().st_size}"
            )
        return json.loads(file.read(length))


def _seal(path: Path) -> None:
    seal = _hash_unsealed(path, UNSEALED)
    with open(path, "rb+") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        place = file.read(length).index(_entry(UNSEALED))
        file.seek(8 + place)
        file.write(_entry(seal))
    path.chmod(0o644)  # safetensors leaves it to the owner alone


def _hash_unsealed(path: Path, seal: str) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
        header = file.read(struct.unpack("<Q", start)[0])
        digest = hashlib.sha256(start + header.replace(_entry(seal), _entry(UNSEALED), 1))
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _entry(seal: str) -> bytes:
    return f'"sha256":"{seal}"'.encode()
