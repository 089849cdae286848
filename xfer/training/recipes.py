"""A training run from names to networks on disk: what the command line and the notebooks call."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xfer.errors import expect
from xfer.figures import picture_grid, save_figure
from xfer.runs import read_stats
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GeneratorTraining
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.train_generator import train_generator as generator_loop

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
) -> Path:
    """Train to the end, drawing a sheet every `sheet_kimg`, and write `generator.safetensors`."""
    changes = config.parse_settings(list(settings))
    chosen = config.preset(config.GENERATOR_PRESETS, preset, **changes)
    world = World.join(device)
    pictures = open_frames(frames, chosen.generator.resolution, chosen.seed)
    last = 0.0
    for record in generator_loop(chosen, pictures, out, world):
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


def history(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The run's records without those that a crash made it repeat: one for every step."""
    return iter({record["step"]: record for record in read_stats(folder)}.values())


def describe(record: dict[str, Any]) -> str:
    """A record as one line."""
    parts = [f"{key} {value:g}" for key, value in record.items() if key not in ("step",)]
    return ", ".join(parts)
