"""The sha256 of a file, recorded in a JSON beside it: `small.safetensors.json`.

    {"file": "small.safetensors", "bytes": 1234, "sha256": "..."}

A file with such a record is never used when a single bit of it differs.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from xfer.errors import BadFile
from xfer.runs import read_json, write_json


def sha256(path: Path) -> str:
    """Hash of a file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_path(path: Path) -> Path:
    """Where the record of a file stands."""
    return path.with_name(path.name + ".json")


def recorded(path: Path) -> str | None:
    """The sha256 that is recorded for a file; None without a record, `BadFile` for a broken one."""
    place = record_path(path)
    if not place.exists():
        return None
    record = read_json(place)
    digest = record.get("sha256") if isinstance(record, dict) else None
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise BadFile(
            f"{place} should hold the sha256 of {path.name} and does not; fetch both files "
            "again, or delete the record to go without the check"
        )
    return digest


def record(path: Path, **facts: Any) -> str:
    """Write the record of a file as it is now; returns its sha256."""
    return write(path, sha256(path), path.stat().st_size, **facts)


def write(path: Path, digest: str, size: int, **facts: Any) -> str:
    """Write the record of a file, which need not be in place yet; returns its sha256."""
    write_json(record_path(path), {"file": path.name, "bytes": size, "sha256": digest} | facts)
    return digest


def check(path: Path) -> bool:
    """Compare a file with its record. False: there is none; `BadFile`: they differ."""
    wanted = recorded(path)
    if wanted is None:
        return False
    found = sha256(path)
    if found != wanted:
        raise BadFile(
            f"{path} is damaged or was replaced: its sha256 is {found[:12]}..., recorded is "
            f"{wanted[:12]}...; fetch it again, or delete {record_path(path).name} if the "
            "change was meant"
        )
    return True
