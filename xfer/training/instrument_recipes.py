"""The instruments' training from names to weights on disk, their own errors told with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xfer.errors import expect
from xfer.instruments import Copy, FaceRecogniser, FactorReader, Instruments
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
from xfer.training.session import leave_if_stopped
from xfer.training.train_instruments import ReaderTrainer, RecogniserTrainer, train_instrument
from xfer.training.world_frames import WorldFrames


def train_instruments(
    out: str | Path,
    frames: str | Path,
    unseen: str | Path,
    copy: Copy,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
) -> Path:
    """Train the reader and the recogniser of one copy, and write `instruments.safetensors`.

    Args:
        unseen: World frames of other people, on which their own errors are measured.
        copy: The seed of each copy differs by itself; its people differ by `frames`.
        hours: End after so long, half of it for each, as if the work was done.
    """
    seen, trial, world = WorldFrames(frames), WorldFrames(unseen), World.join(device)
    expect(
        seen.record["seed"] != trial.record["seed"],
        f"{unseen} shows the people of {frames}; render it from another seed",
    )
    parts = instrument_configs(copy, preset, config.parse_settings(list(settings)))
    for part, chosen in parts.items():
        seen.seed = chosen.seed
        records = train_instrument(chosen, seen, Path(out) / part, world)
        follow(records, world, hours and hours / 2)
        if world.rank == 0:
            leave_if_stopped(Path(out) / part)
    path = Path(out) / "instruments.safetensors"
    return finish(world, path, lambda: export_instruments(path, copy, parts, seen, trial))


def export_instruments(
    path: Path,
    copy: Copy,
    parts: Mapping[str, ReaderTraining | RecogniserTraining],
    seen: WorldFrames,
    trial: WorldFrames,
) -> Path:
    """Write the newest reader and recogniser with their errors on unseen people."""
    trained = [instrument_of(path.parent / part, chosen, seen) for part, chosen in parts.items()]
    errors = instrument_errors(*trained, trial)
    known = ("people", "frames", "seed", "preset")
    facts = {"licence": "MIT", "trained_on": {name: seen.record[name] for name in known}}
    return Instruments(*trained, copy, errors).save(path, facts)


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
        seed = start.seed + (copy == "judge")
        chosen[part] = config.preset(table, preset, **({"seed": seed} | fitting))
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
