"""What a run goes on from: its newest undamaged state, and settings that must be the same."""

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xfer.data.clips import INDEX
from xfer.errors import BadFile, RunError
from xfer.runs import atomic, read_json, read_stats
from xfer.training.config import FREE, TrainingConfig


class Checkpoints:
    """The newest two states of a run, each named by its step and the sha256 of what it holds."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a state whole or not at all, then remove those before the last two."""
        plain = self.folder / "new.pt"
        with atomic(plain) as temporary:
            torch.save(state, temporary)
        os.replace(plain, self.folder / f"step_{step:08d}.{_sha256(plain)[:16]}.pt")
        for old in self.paths()[:-2]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole; None where nothing was saved yet."""
        for path in reversed(self.paths()):
            if _sha256(path).startswith(path.name.split(".")[1]):
                return torch.load(path, map_location="cpu", weights_only=True)
            print(f"{path} is damaged; going back to the one before", file=sys.stderr)
        if self.paths():
            raise BadFile(f"{self.folder}: all checkpoints are damaged; start another folder")
        return None

    def paths(self) -> list[Path]:
        """Of all states, oldest first."""
        return sorted(self.folder.glob("step_*.*.pt"))


def refuse_changes(folder: Path, config: TrainingConfig) -> None:
    """Raise RunError where the folder's run has settings that a run must keep, other than these."""
    path = folder / "run.json"
    if not path.exists():
        return
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    before = read_json(path).get("config", {})
    changed = [n for n in now.keys() | before.keys() if before.get(n) != now.get(n)]
    if changed := sorted(set(changed) - set(FREE)):
        was = ", ".join(f"{n} was {before.get(n)}, not {now.get(n)}" for n in changed)
        raise RunError(f"{folder} holds a run with other settings: {was}; choose another folder")


def forget_after(folder: Path, step: int) -> None:
    """Drop lines of stats.jsonl and damaged states after a step: the run does it again."""
    for path in Checkpoints(folder / "checkpoints").paths():
        if int(path.name.split(".")[0].removeprefix("step_")) > step:
            path.unlink()
    lines = [json.dumps(line) for line in read_stats(folder) if line["step"] <= step]
    with atomic(folder / "stats.jsonl") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def fingerprint(data: str | Path) -> str:
    """What a folder of clips is, for records: path, number of clips, sha256 of the index."""
    index = Path(data) / INDEX
    count = len(index.read_text().splitlines())
    return f"{data}: {count} clips, index sha256 {_sha256(index)}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
