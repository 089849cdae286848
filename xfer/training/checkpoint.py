"""The full state of a run on disk: atomic, checked by sha256, with a way back from damage.

    checkpoints/step_00012000.pt        networks, averages, optimisers, counters
    checkpoints/step_00012000.json      step, sha256, score; written after the data
    best.json                           which of them scored best

A checkpoint without its JSON was cut short and does not count.

What is exported is the newest. The best is kept beside it for runs that go astray after it: it is
what to go back to, and best.json tells when that was. Games whose losses tell nothing have none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xfer.errors import BadFile, RunError, UnwritableFile, expect
from xfer.files.records import sha256
from xfer.runs import atomic, read_json, write_json
from xfer.training.memory import is_out_of_memory


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: The run's folder.
        keep: How many of the newest stay; the best one stays too.
    """

    def __init__(self, folder: str | Path, keep: int = 2):
        expect(keep >= 2, f"at least two checkpoints are kept, to survive damage; got {keep}")
        self.folder, self.keep = Path(folder) / "checkpoints", keep
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any], score: float | None = None) -> Path:
        """Write the state of a step; a lower `score` is better. Older checkpoints are pruned.

        Raises:
            RunError: The disk is full or refuses; what was saved before is untouched.
        """
        data, record = self._paths(step)
        try:
            with atomic(data) as temporary:
                torch.save(state, temporary)
                digest = sha256(temporary)
            write_json(record, {"step": step, "sha256": digest, "score": score})
            best = self.best()
            if score is not None and (best is None or score < best["score"]):
                write_json(self.folder.parent / "best.json", {"step": step, "score": score})
        except UnwritableFile as error:
            raise RunError(f"step {step}: {error}; the checkpoint before is whole") from error
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            if is_out_of_memory(error):
                raise
            raise RunError(
                f"step {step} cannot be saved to {data.parent}: {str(error).splitlines()[0]}. Make "
                "room on the disk and run again; the checkpoint before is whole"
            ) from error
        self._prune()
        return data

    def load_latest(self, say: Callable[[str], None] = print) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the newest undamaged checkpoint; None if there is none at all.

        Every damaged one is named through `say`. Raises `BadFile` if all are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return step, self.load(step)
            except BadFile as error:
                say(f"{error}; going back to the checkpoint before")
        if steps:
            raise BadFile(f"{self.folder}: every checkpoint is damaged; start in another folder")
        return None

    def load(self, step: int) -> dict[str, Any]:
        """State of one step; raises `BadFile` if it is not what was written."""
        data, record = self._paths(step)
        wanted = read_json(record).get("sha256")
        if not data.exists() or sha256(data) != wanted:
            raise BadFile(f"{data} is damaged or gone: its sha256 is not the recorded one")
        return torch.load(data, map_location="cpu", weights_only=True)

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, oldest first."""
        return sorted(int(path.stem.split("_")[1]) for path in self.folder.glob("step_*.json"))

    def best(self) -> dict[str, Any] | None:
        """Step and score of the best checkpoint so far."""
        path = self.folder.parent / "best.json"
        return read_json(path) if path.exists() else None

    def _paths(self, step: int) -> tuple[Path, Path]:
        data = self.folder / f"step_{step:08d}.pt"
        return data, data.with_suffix(".json")

    def _prune(self) -> None:
        best = self.best()
        spared = set(self.steps()[-self.keep :]) | ({best["step"]} if best else set())
        for step in set(self.steps()) - spared:
            data, record = self._paths(step)
            record.unlink(missing_ok=True)
            data.unlink(missing_ok=True)
        complete = {self._paths(step)[0] for step in self.steps()}
        orphans = set(self.folder.glob("step_*.pt")) - complete
        for leftover in orphans | set(self.folder.glob(".*.part")):
            leftover.unlink(missing_ok=True)
