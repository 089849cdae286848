"""What every recipe does around its loop: keep to the time, tell, draw, and export once."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from xfer.training.distributed import World
from xfer.training.session import leave_if_stopped, made_from, time_limit


def follow(
    records: Iterable[dict[str, Any]],
    world: World,
    hours: float | None = None,
    draw: Callable[[], Any] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Run a loop to its end, telling of every tick.

    Args:
        records: The loop, not begun yet.
        hours: End after so long, as if the work was done.
        draw: What draws a sheet of the newest checkpoint; called after every tick and at the end,
            by one process alone.
        inputs: Names of what the run is made from, for its record.
    """
    with time_limit(hours), made_from(inputs):
        for record in records:
            if world.rank == 0:
                print(describe(record), file=sys.stderr, flush=True)
                if draw is not None:
                    draw()
    if draw is not None and world.rank == 0:
        draw()


def finish(world: World, path: Path, export: Callable[[], Any]) -> Path:
    """Part from the other processes, and let one export what was learned to `path`.

    Raises:
        Stopped: The run was told to stop; what it has so far is exported.
    """
    world.leave()
    if world.rank == 0:
        export()
        if (path.parent / "run.json").exists():
            leave_if_stopped(path.parent)
    return path


def describe(record: dict[str, Any]) -> str:
    """A record as one line."""
    parts = [f"{key} {value:g}" for key, value in record.items() if key not in ("step",)]
    return ", ".join(parts)
