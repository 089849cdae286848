"""Where things that were made from this room's source are kept between runs."""

import hashlib
from functools import cache
from pathlib import Path

import pooch
import torch


def kept(name: str, *parts: str) -> Path:
    """A file, still without suffix; other sources, another torch or other `parts` name another."""
    hashed = hashlib.sha256("\0".join([name, *parts, torch.__version__]).encode())
    hashed.update(_source())
    return Path(pooch.os_cache("xfer")) / "faceworld" / f"{name}_{hashed.hexdigest()[:20]}"


@cache
def _source() -> bytes:
    return b"\0".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))
