"""Tables of a run of the notebook as a record: beside them what they were made with and from."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xfer.errors import expect
from xfer.files.records import sha256
from xfer.files.registry import locate
from xfer.runs import environment, write_json


def keep_tables(
    folder: str | Path, kept: str | Path, files: Mapping[str, str | Path], **asked: Any
) -> Path:
    """Copy every CSV of a folder, and last write run.json beside the copies.

    Args:
        folder: Where the tables are.
        kept: Where they go; tables of the same names are replaced.
        files: The networks' files, or shipped names, by what they served as. The record names
            each, without the machine's folders, with its sha256.
        asked: What else was asked for; stands in the record.
    """
    tables, kept = sorted(Path(folder).glob("*.csv")), Path(kept)
    expect(tables, f"{folder} holds no table to be kept")
    found = {role: locate(file) for role, file in files.items()}
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "run.json").unlink(missing_ok=True)
    for table in tables:
        shutil.copyfile(table, kept / table.name)
    named = {role: {"file": x.name, "sha256": sha256(x)} for role, x in found.items()}
    return write_json(kept / "run.json", named | asked | environment())
