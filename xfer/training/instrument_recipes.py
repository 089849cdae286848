"""The instruments' training from names to weights on disk, their own errors told with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from xfer.errors import expect
from xfer.instruments import Copy, FaceRecogniser, FactorReader, Instruments, load_instruments
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.following import finish, follow
from xfer.training.instrument_config import (
    READER_PRESETS,
    RECOGNISER_PRESETS,
    ReaderTraining,
    RecogniserTraining,
)
from xfer.training.measure_instruments import instrument_errors
from xfer.training.origins import expect_strangers, facts_of, frames_origin, inputs
from xfer.training.session import leave_if_stopped
from xfer.training.train_instruments import ReaderTrainer, RecogniserTrainer, train_instrument
from xfer.training.world_frames import WorldFrames

Part = Literal["reader", "recogniser"]
"""One of the two networks of a copy."""


def train_instruments(
    out: str | Path,
    frames: str | Path,
    unseen: str | Path,
    copy: Copy,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | Path | None = None,
    only: Part | None = None,
) -> Path:
    """Train the reader and the recogniser of one copy, and write `instruments.safetensors`.

    Args:
        unseen: World frames of other people, on which their own errors are measured.
        copy: The seed of each copy differs by itself; its people differ by `frames`.
        hours: End after so long, the same for each that is trained, as if the work was done.
        start: Instruments of this copy that new runs begin with.
        only: Train this one, and take the other from the start as it is.
    """
    expect(start or not only, f"only {only} is to be trained: name the start that has the other")
    seen, trial, world = WorldFrames(frames), WorldFrames(unseen), World.join(device)
    expect_strangers(frames, unseen)
    parts = instrument_configs(copy, preset, config.parse_settings(list(settings)))
    first = load_instruments(start, copy) if start else None
    begun = {part: getattr(first, part, None) for part in parts}
    if only:
        parts = {only: parts[only]}
    made = inputs(frames=frames, unseen=unseen, start=start)
    facts = facts_of(frames_origin(frames), start)
    for part, chosen in parts.items():
        seen.seed = chosen.seed
        records = train_instrument(chosen, seen, Path(out) / part, world, begun[part])
        follow(records, world, hours and hours / len(parts), inputs=made)
        if world.rank == 0:
            leave_if_stopped(Path(out) / part)
    path = Path(out) / "instruments.safetensors"
    return finish(
        world, path, lambda: export_instruments(path, copy, parts, seen, trial, facts, first)
    )


def export_instruments(
    path: Path,
    copy: Copy,
    parts: Mapping[str, ReaderTraining | RecogniserTraining],
    seen: WorldFrames,
    trial: WorldFrames,
    facts: Mapping[str, Any],
    start: Instruments | None = None,
) -> Path:
    """Write the newest reader and recogniser with their errors on unseen people.

    Args:
        facts: Where they come from.
        start: Has those that are not among `parts`.
    """
    trained = {
        part: instrument_of(path.parent / part, parts[part], seen)
        if part in parts
        else getattr(start, part).eval()
        for part in get_args(Part)
    }
    errors = instrument_errors(*trained.values(), trial)
    return Instruments(*trained.values(), copy, errors).save(path, facts)


def instrument_configs(
    copy: Copy, preset: str, changes: Mapping[str, str]
) -> dict[str, ReaderTraining | RecogniserTraining]:
    """Configurations of both; a setting goes to those that have it."""
    tables = {"reader": READER_PRESETS, "recogniser": RECOGNISER_PRESETS}
    chosen = {}
    for part, table in tables.items():
        start = config.preset(table, preset)
        other = tables["recogniser" if part == "reader" else "reader"][preset]
        fitting = {
            key: value
            for key, value in changes.items()
            if hasattr(start, key.split(".")[0]) or not hasattr(other, key.split(".")[0])
        }
        own = {"seed": start.seed + (copy == "judge")}
        if part == "reader":  # judges may take their time; what serves in losses must be quick
            own["reader.mirrored"] = copy == "judge"
        chosen[part] = config.preset(table, preset, **(own | fitting))
    return chosen


def instrument_of(
    folder: str | Path, chosen: ReaderTraining | RecogniserTraining, frames: WorldFrames
) -> FactorReader | FaceRecogniser:
    """The network of a run's newest checkpoint."""
    kind = ReaderTrainer if isinstance(chosen, ReaderTraining) else RecogniserTrainer
    trainer = kind(chosen, frames, World())
    _, state = Checkpoints(folder).load_latest()
    trainer.modules().load_state_dict(state["networks"])
    return trainer.network.eval()
