"""Checkpoints known by name: the small ones shipped in data/weights, and public ones."""

import os
from pathlib import Path

from xfer.errors import MissingFile

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "weights"


def cache() -> Path:
    """Folder of fetched files: $XFER_CACHE, or the user's cache."""
    place = os.environ.get("XFER_CACHE")
    if place:
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xfer"


def shipped() -> dict[str, Path]:
    """Shipped files by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def locate(name: str | Path) -> Path:
    """The file of a path, or of a shipped or fetched name."""
    path = Path(name).expanduser()
    if os.path.lexists(path):
        return path
    if str(name) in shipped():
        return shipped()[str(name)]
    names = ", ".join(shipped()) or "none yet"
    raise MissingFile(f"{path} does not exist, and no shipped checkpoint has that name ({names})")
