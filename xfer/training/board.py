"""A run's records for TensorBoard, whose horizontal axis counts pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xfer.runs import going_on_later


class Board:
    """The curves of one stay in a run's folder; nothing is made before the first record.

    Args:
        folder: Of the event files.
        batch: Pictures a step.
    """

    def __init__(self, folder: Path, batch: int):
        self.folder, self.batch = folder, batch
        self._writer: Any = None

    def show(self, record: Mapping[str, Any]) -> None:
        """Add a tick's values; raises `RunError` where the disk refuses them."""
        pictures = record["step"] * self.batch
        with going_on_later(self.folder):
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter  # takes a second to import

                self._writer = SummaryWriter(self.folder, purge_step=pictures)
            for name, value in record.items():
                if name not in ("step", "kimg"):
                    self._writer.add_scalar(name, value, pictures)
            self._writer.flush()  # a thread of its own writes, and tells only now what went wrong

    def close(self) -> None:
        """End its thread."""
        if self._writer is not None:
            with going_on_later(self.folder):
                self._writer.close()
