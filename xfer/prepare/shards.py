"""Parts of single clips joined into shards, rows into one index, records into one manifest.

A group of inputs gives one shard. Its files appear one by one, its manifest last: a group with a
manifest is done. All bytes follow from the inputs and the settings alone.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from xfer.datasets.layout import INDEX, MANIFEST, shard_name
from xfer.errors import BadFile
from xfer.prepare.sources import Input
from xfer.runs import atomic

WORK, ROWS, RECORDS = "work", "rows", "records"
"""Folders of parts, of each group's rows, of each group's manifest lines."""
END_OF_TAR = b"\0" * 1024
PICTURES_PER_CLIP = 64
"""So many single pictures count as one clip where shards are filled."""


def groups_of(inputs: Sequence[Input], clips_per_shard: int) -> list[list[Input]]:
    """Inputs that share a shard: in order, as many as fill it."""
    groups: list[list[Input]] = [[]]
    filled = 0
    for item in inputs:
        if filled >= clips_per_shard * PICTURES_PER_CLIP:
            groups.append([])
            filled = 0
        groups[-1].append(item)
        filled += 1 if item.kind == "picture" else PICTURES_PER_CLIP
    return groups


def part_of(folder: Path, item: Input) -> Path:
    """Where the parts of an input lie, without suffix."""
    return folder / WORK / f"{item.number:08d}"


def records_of(folder: Path, group: int) -> Path:
    """The mark that a group is done."""
    return folder / RECORDS / f"{group:06d}.jsonl"


def rows_of(folder: Path, group: int) -> Path:
    """The rows of a group's shard, before it is known who goes into which split."""
    return folder / ROWS / f"{group:06d}.parquet"


def write_record(folder: Path, item: Input, record: dict[str, Any]) -> None:
    """The mark that an input is done, good or bad: its manifest line but for the shard."""
    with atomic(part_of(folder, item).with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record) + "\n")


def join_group(folder: Path, number: int, group: Sequence[Input]) -> None:
    """Make the shard of a group whose inputs all have their records."""
    lines, tables = [], []
    with atomic(folder / shard_name(number)) as temporary, open(temporary, "wb") as shard:
        for item in group:
            record = json.loads(part_of(folder, item).with_suffix(".json").read_text())
            good = record["status"] == "good"
            lines.append(record | {"shard": shard_name(number) if good else None})
            if good:
                tables.append(_moved(folder, item, shard.tell()).assign(shard=shard_name(number)))
                _append_file(shard, part_of(folder, item).with_suffix(".tar"))
        shard.write(END_OF_TAR)
    if tables:
        with atomic(rows_of(folder, number)) as temporary:
            pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
    else:
        (folder / shard_name(number)).unlink()
    with atomic(records_of(folder, number)) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
    discard_parts(folder, group)


def _moved(folder: Path, item: Input, start: int) -> pd.DataFrame:
    table = pd.read_parquet(part_of(folder, item).with_suffix(".parquet"))
    table["offset"] += start
    return table


def _append_file(shard: Any, path: Path) -> None:
    with open(path, "rb") as part:
        while block := part.read(1 << 22):
            shard.write(block)


def discard_parts(folder: Path, group: Sequence[Input]) -> None:
    """Remove what a finished group no longer needs."""
    for item in group:
        for suffix in (".tar", ".parquet", ".json"):
            part_of(folder, item).with_suffix(suffix).unlink(missing_ok=True)


def write_index(folder: Path, groups: int, shares: dict[str, float]) -> pd.DataFrame:
    """Join the rows and records of all groups; every person gets one split."""
    paths = [rows_of(folder, group) for group in range(groups)]
    tables = [pd.read_parquet(path) for path in paths if path.exists()]
    index = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if len(index):
        splits = split_people(sorted(index["person"].unique()), shares)
        index.insert(2, "split", index["person"].map(splits))
    with atomic(folder / MANIFEST) as temporary, open(temporary, "w") as out:
        for group in range(groups):
            for line in records_of(folder, group).read_text().splitlines():
                record = json.loads(line)
                good = record["status"] == "good"
                record["split"] = splits[record["person"]] if good else None
                out.write(json.dumps(record) + "\n")
    with atomic(folder / INDEX) as temporary:
        index.to_parquet(temporary, index=False)
    return index


def split_people(people: Sequence[str], shares: dict[str, float]) -> dict[str, str]:
    """Every person in exactly one split, by a hash of the name.

    The shares are met as nearly as whole people allow, at least one person each where there are
    enough; the first split named gets whoever is left.
    """
    by_hash = sorted(people, key=lambda name: hashlib.sha256(name.encode()).digest())
    rest, *others = shares
    splits = dict.fromkeys(people, rest)
    start = 0
    for split in others:
        room = len(people) - 1 - start
        count = min(room, max(round(shares[split] * len(people)), int(shares[split] > 0)))
        splits |= dict.fromkeys(by_hash[start : start + count], split)
        start += count
    return splits


def read_manifest(folder: str | Path) -> list[dict[str, Any]]:
    """One record for every input, good or bad."""
    path = Path(folder) / MANIFEST
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} should be the manifest of a preparation: {error}") from error
