"""Shares of one preparation, and several preparations, joined."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from xfer.datasets.layout import SETTINGS, shard_name
from xfer.errors import MissingFile, RunError, expect
from xfer.prepare.locks import holding
from xfer.prepare.run import Summary, summarise
from xfer.prepare.shards import WORK, records_of, rows_of, write_index
from xfer.runs import atomic, read_json, write_json


def merge(folders: Sequence[str | Path], out: str | Path | None = None) -> Summary:
    """Join the shares of one preparation, or several preparations into a new folder.

    Args:
        folders: One folder, whose shares are all done; or several folders.
        out: Where several go. Their shards are linked, or copied where that cannot be.

    Raises:
        MissingFile: A folder is no preparation.
        RunError: A share is missing or still at work, or the preparations do not fit together.
    """
    expect(folders, "merge needs at least one folder")
    folders = [Path(folder) for folder in folders]
    for folder in folders:
        _check_complete(folder)
    if out is None or [Path(out)] == folders:
        expect(len(folders) == 1, "several preparations are joined into a new folder: name it")
        return _join(folders[0])
    _check_alike(folders)
    with holding(Path(out), shared=False):
        return _gather(folders, Path(out))


def _check_complete(folder: Path) -> None:
    if not (folder / SETTINGS).exists():
        raise MissingFile(f"{folder} holds no preparation: name what `xfer prepare --out` has made")
    record = read_json(folder / SETTINGS)
    missing = [n for n in range(record["groups"]) if not records_of(folder, n).exists()]
    if missing:
        raise RunError(
            f"{folder} is not complete: {len(missing)} of its {record['groups']} shards are "
            "missing; run the shares that are not done, then merge again"
        )


def _join(folder: Path) -> Summary:
    """The index and manifest over all shares of a folder."""
    record = read_json(folder / SETTINGS)
    with holding(folder, shared=False):
        write_index(folder, record["groups"], record["splits"])
        shutil.rmtree(folder / WORK, ignore_errors=True)
        return summarise(folder, range(record["groups"]), True)


def _check_alike(folders: list[Path]) -> None:
    records = [read_json(folder / SETTINGS) for folder in folders]
    for folder, record in zip(folders, records, strict=True):
        for key in ("size", "picture_format"):
            if record["settings"][key] != records[0]["settings"][key]:
                raise RunError(f"{folder} was prepared with another {key} than {folders[0]}")


def _gather(folders: list[Path], out: Path) -> Summary:
    """Shards of several preparations side by side; clips that share a name get new ones."""
    records = [read_json(folder / SETTINGS) for folder in folders]
    if (out / SETTINGS).exists():
        raise RunError(f"{out} already holds a preparation; choose another folder")
    taken: set[str] = set()
    total = 0
    for folder, record in zip(folders, records, strict=True):
        for number in range(record["groups"]):
            _take_over(folder, number, out, total, taken)
            total += 1
    whole = records[0] | {
        "inputs": sum(record["inputs"] for record in records),
        "inputs_sha256": "",
        "groups": total,
        "merged_from": [folder.name for folder in folders],
    }
    write_index(out, total, records[0]["splits"])
    write_json(out / SETTINGS, whole)
    return summarise(out, range(total), True)


def _take_over(folder: Path, number: int, out: Path, place: int, taken: set[str]) -> None:
    lines = [json.loads(line) for line in records_of(folder, number).read_text().splitlines()]
    names = {line["clip"]: _free_name(line["clip"], taken) for line in lines}
    for line in lines:
        # A person named after the clip goes with it; one named by a folder is the same everywhere.
        line["person"] = names.get(line["person"], line["person"])
        line["clip"] = names[line["clip"]]
        line["shard"] = shard_name(place) if line["shard"] else None
    if rows_of(folder, number).exists():
        rows = pd.read_parquet(rows_of(folder, number))
        rows["person"] = rows["person"].map(lambda name: names.get(name, name))
        rows["clip"] = rows["clip"].map(names)
        rows["shard"] = shard_name(place)
        _link(folder / shard_name(number), out / shard_name(place))
        with atomic(rows_of(out, place)) as temporary:
            rows.to_parquet(temporary, index=False)
    with atomic(records_of(out, place)) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _free_name(name: str, taken: set[str]) -> str:
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}-{count}"
    taken.add(free)
    return free


def _link(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
