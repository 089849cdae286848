"""How long the notebooks took; `python -m xfer.notebooks.clock RESULTS` keeps it for the README."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xfer.errors import MissingFile
from xfer.runs import read_json, write_json

KEPT = Path("results", "speed", "notebooks.json")


def seconds_of(results: Path) -> dict[str, dict[str, Any]]:
    """What the run records in a folder of results tell: preset, then seconds by notebook, and what
    it was measured on."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("[0-9][0-9]_*/run.json")):
        record = read_json(path)
        if record["exit_code"] == 0:
            preset = record["parameters"].get("preset", "small")
            told = found.setdefault(preset, {"seconds": {}})
            told["seconds"][path.parent.name] = record["seconds"]
            told |= {key: record[key] for key in ("commit", "versions", "machine")}
    if not found:
        raise MissingFile(f"{results} holds no finished notebooks: run `xfer notebooks run`")
    return found


def main(folders: Sequence[str], kept: Path = KEPT) -> int:
    """Keep the newest seconds of every preset in the folders, beside those known of others."""
    known = read_json(kept) if kept.exists() else {}
    for folder in folders:
        known |= seconds_of(Path(folder))
    write_json(kept, known)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
