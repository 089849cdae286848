"""What a pipeline has spent and finished, on disk, so that it goes on after any interruption."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xfer.errors import RunError, UnwritableFile, expect
from xfer.runs import read_json, write_json

BEAT = 5.0
"""Seconds between two notes of the time spent: so much a kill can hide."""
LEAST = 1.0
"""Seconds that every stage gets, so that there is a model at the end of any budget."""


class Ledger:
    """Seconds spent by stage, stages finished, and what was decided on the way.

    Args:
        path: Of its JSON file; what stands there goes on.
        asked: What may not change between two calls, such as the preset.
        shares: Of the budget, by stage, in their order.
        minutes: The budget of all calls together; another call may set another.

    Raises:
        RunError: The file tells of something else that was asked.
    """

    def __init__(
        self,
        path: str | Path,
        asked: Mapping[str, Any],
        shares: Mapping[str, float],
        minutes: float,
    ):
        expect(minutes > 0, f"a budget is a number of minutes above 0; got {minutes}")
        self.path, self.asked, self.shares = Path(path), dict(asked), dict(shares)
        self.seconds: dict[str, float] = {}
        self.finished: list[str] = []
        self.notes: dict[str, Any] = {}
        self.minutes, self._writing = minutes, threading.Lock()
        if self.path.exists():
            self._take_up(read_json(self.path))

    def _take_up(self, found: dict[str, Any]) -> None:
        if found["asked"] != self.asked:
            raise RunError(
                f"{self.path.parent} was begun with {found['asked']}, not with {self.asked}; "
                "choose another folder"
            )
        self.seconds, self.finished = found["seconds"], found["finished"]
        self.notes = found["notes"]

    def left(self, stage: str) -> float:
        """Seconds that a stage still has.

        What is left of the budget is shared by this stage and those not finished yet, in the ratio
        of their shares: what one leaves over, or takes too long, all later ones feel.
        """
        waiting = [name for name in self.shares if name not in self.finished or name == stage]
        others = sum(spent for name, spent in self.seconds.items() if name != stage)
        budget = self.minutes * 60 - others
        own = budget * self.shares[stage] / sum(self.shares[name] for name in waiting)
        return max(LEAST, own - self.seconds.get(stage, 0.0))

    @contextlib.contextmanager
    def spending(self, stage: str) -> Iterator[None]:
        """Count the time of the block for a stage, noted every few seconds and at its end."""
        before, start, over = self.seconds.get(stage, 0.0), time.monotonic(), threading.Event()

        def note() -> None:
            self.seconds[stage] = round(before + time.monotonic() - start, 3)
            self._write()

        def beat() -> None:
            while not over.wait(BEAT):
                with contextlib.suppress(UnwritableFile):  # on a full disk a later note may do
                    note()

        clock = threading.Thread(target=beat, daemon=True)
        clock.start()
        try:
            yield
        finally:
            over.set()
            clock.join()
            note()

    def finish(self, stage: str) -> None:
        """A stage is done and not run again."""
        if stage not in self.finished:
            self.finished.append(stage)
        self._write()

    def note(self, name: str, value: Any) -> Any:
        """Keep what was decided, for calls to come; gives it back."""
        self.notes[name] = value
        self._write()
        return value

    def _write(self) -> None:
        parts = ("asked", "minutes", "seconds", "finished", "notes")
        with self._writing:
            write_json(self.path, {name: getattr(self, name) for name in parts})
