"""A training run from names to networks on disk: what the command line and the notebooks call."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from xfer.encoders import IdentityEncoder
from xfer.errors import expect
from xfer.figures import picture_grid, save_figure
from xfer.instruments import Copy, FaceRecogniser, FactorReader, Instruments, load_instruments
from xfer.runs import read_stats
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GeneratorTraining
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.instrument_config import (
    READER_PRESETS,
    RECOGNISER_PRESETS,
    ReaderTraining,
    RecogniserTraining,
)
from xfer.training.measure_instruments import instrument_errors
from xfer.training.train_generator import train_generator as generator_loop
from xfer.training.train_instruments import ReaderTrainer, RecogniserTrainer, train_instrument
from xfer.training.train_inverter import INVERTER_PRESETS, InverterTraining
from xfer.training.train_inverter import train_inverter as inverter_loop
from xfer.training.world_frames import WorldFrames

SHEET_SEEDS = range(32)
"""The people of every sheet of a run, so that sheets can be compared."""


def open_frames(frames: str | Path, resolution: int, seed: int = 0) -> FrameArray:
    """Training pictures from a folder of world frames or a .npy file, of the right size."""
    path = Path(frames)
    array = FrameArray(path / "frames.npy" if path.is_dir() else path, seed)
    expect(
        array.resolution == resolution,
        f"{frames} holds pictures of {array.resolution} px; this preset trains at {resolution} px",
    )
    return array


def train_generator(
    out: str | Path,
    frames: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    instruments: str | Path | None = None,
) -> Path:
    """Train to the end, drawing a sheet every `sheet_kimg`, and write `generator.safetensors`.

    Args:
        instruments: The loss copy, through which a projected critic looks.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(config.GENERATOR_PRESETS, preset, **changes)
    world = World.join(device)
    pictures = open_frames(frames, chosen.generator.resolution, chosen.seed)
    through = load_instruments(instruments, "loss") if instruments else None
    bodies = [part.backbone for part in (through.reader, through.recogniser)] if through else []
    last = 0.0
    for record in generator_loop(chosen, pictures, out, world, bodies):
        if world.rank != 0:
            continue
        print(describe(record), file=sys.stderr, flush=True)
        if record["kimg"] - last >= chosen.sheet_kimg and Checkpoints(out).steps():
            last = record["kimg"]
            save_sheet(out, chosen)
    world.leave()
    return export_generator(out, chosen)


def latest_generator(folder: str | Path, chosen: GeneratorTraining) -> tuple[float, Generator]:
    """Thousands of pictures seen, and the averaged generator of the newest checkpoint."""
    found = Checkpoints(folder).load_latest()
    expect(found is not None, f"{folder} holds no checkpoint yet")
    step, state = found
    generator = Generator(chosen.generator)
    generator.load_state_dict(state["ema"])
    return step * chosen.batch / 1000, generator.eval()


def save_sheet(folder: str | Path, chosen: GeneratorTraining) -> Path:
    """Draw the newest checkpoint's sheet of fixed seeds into the run's folder."""
    kimg, generator = latest_generator(folder, chosen)
    figure = picture_grid(draw(generator, SHEET_SEEDS, psi=0.7), 8, title=f"{kimg:g} kimg, psi 0.7")
    return save_figure(figure, Path(folder) / "sheets" / f"{round(kimg):06d}.png")


def export_generator(folder: str | Path, chosen: GeneratorTraining) -> Path:
    """Write the newest averaged generator as safetensors, with where it comes from."""
    kimg, generator = latest_generator(folder, chosen)
    facts = {"kimg": kimg, "seed": chosen.seed, "licence": "MIT", "trained_on": "face world"}
    return generator.save(Path(folder) / "generator.safetensors", facts)


def train_instruments(
    out: str | Path,
    frames: str | Path,
    unseen: str | Path,
    copy: Copy,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
) -> Path:
    """Train the reader and the recogniser of one copy, and write `instruments.safetensors`.

    Args:
        unseen: World frames of other people, on which their own errors are measured.
        copy: The seed of each copy differs by itself; its people differ by `frames`.
    """
    seen, trial, world = WorldFrames(frames), WorldFrames(unseen), World.join(device)
    expect(
        seen.record["seed"] != trial.record["seed"],
        f"{unseen} shows the people of {frames}; render it from another seed",
    )
    trained = []
    for part, chosen in _instrument_configs(copy, preset, settings).items():
        seen.seed = chosen.seed
        folder = Path(out) / part
        for record in train_instrument(chosen, seen, folder, world):
            print(describe(record), file=sys.stderr, flush=True)
        trained.append(instrument_of(folder, chosen, seen))
    errors = instrument_errors(*trained, trial)
    known = ("people", "frames", "seed", "preset")
    facts = {"licence": "MIT", "trained_on": {name: seen.record[name] for name in known}}
    return Instruments(*trained, copy, errors).save(Path(out) / "instruments.safetensors", facts)


def _instrument_configs(
    copy: Copy, preset: str, settings: Sequence[str]
) -> dict[str, ReaderTraining | RecogniserTraining]:
    """Configurations of both; a setting goes to those that have it."""
    tables = {"reader": READER_PRESETS, "recogniser": RECOGNISER_PRESETS}
    changes = config.parse_settings(list(settings))
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


def train_inverter(
    out: str | Path,
    frames: str | Path,
    generator: str | Path,
    instruments: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
) -> Path:
    """Train an identity encoder for a generator and write `inverter.safetensors`.

    Args:
        generator: A file or shipped name.
        instruments: The loss copy.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(INVERTER_PRESETS, preset, **changes)
    drawer, measure = Generator.load(generator), load_instruments(instruments, "loss")
    pictures = open_frames(frames, drawer.resolution, chosen.seed)
    for record in inverter_loop(
        chosen, pictures, drawer, measure.recogniser, out, World.join(device)
    ):
        print(describe(record), file=sys.stderr, flush=True)
        save_inversions(out, chosen, pictures, drawer)
    return export_inverter(out, chosen)


def latest_inverter(folder: str | Path, chosen: InverterTraining) -> tuple[float, IdentityEncoder]:
    """Thousands of pictures seen, and the encoder of the newest checkpoint."""
    found = Checkpoints(folder).load_latest()
    expect(found is not None, f"{folder} holds no checkpoint yet")
    step, state = found
    encoder = IdentityEncoder(chosen.encoder)
    encoder.load_state_dict(state["encoder"])
    return step * chosen.batch / 1000, encoder.eval()


@torch.no_grad()
def save_inversions(
    folder: str | Path, chosen: InverterTraining, frames: FrameArray, generator: Generator
) -> Path | None:
    """Frames above their inversions by the newest checkpoint, if there is a new one."""
    if not Checkpoints(folder).steps():
        return None
    kimg, encoder = latest_inverter(folder, chosen)
    path = Path(folder) / "sheets" / f"{round(kimg):06d}.png"
    if path.exists():
        return path
    images = frames.pictures(range(0, len(frames), -(-len(frames) // 16))).to(generator.w_mean)
    drawn = generator.synthesis(encoder.to(images).invert(images, generator))
    rows = [part for pair in zip(images.split(8), drawn.split(8), strict=True) for part in pair]
    labels = ["frame", "inversion"] * (len(rows) // 2)
    figure = picture_grid(torch.cat(rows).cpu(), 8, row_labels=labels, title=f"{kimg:g} kimg")
    return save_figure(figure, path)


def export_inverter(folder: str | Path, chosen: InverterTraining) -> Path:
    """Write the newest encoder as safetensors, with where it comes from."""
    kimg, encoder = latest_inverter(folder, chosen)
    facts = {"kimg": kimg, "seed": chosen.seed, "licence": "MIT", "trained_on": "face world"}
    return encoder.save(Path(folder) / "inverter.safetensors", facts)


def history(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The run's records without those that a crash made it repeat: one for every step."""
    return iter({record["step"]: record for record in read_stats(folder)}.values())


def describe(record: dict[str, Any]) -> str:
    """A record as one line."""
    parts = [f"{key} {value:g}" for key, value in record.items() if key not in ("step",)]
    return ", ".join(parts)
