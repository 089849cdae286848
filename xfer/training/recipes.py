"""A generator's training from names to weights on disk, and the records of any run.

What the command line and the notebooks call; instruments and inverter have recipes of their own.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xfer.axes import Image
from xfer.encoders import IdentityEncoder
from xfer.errors import expect
from xfer.figures import picture_grid, save_figure, tile
from xfer.files import Storable, write_checkpoint
from xfer.instruments import Instruments, load_instruments
from xfer.media.pictures import read_picture, write_picture
from xfer.precision import half_dtype
from xfer.runs import atomic, read_json, read_stats, write_json
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GeneratorTraining
from xfer.training.distributed import World
from xfer.training.following import finish, follow
from xfer.training.origins import facts_of, frames_origin, inputs
from xfer.training.redrawing import Anchor, LatentReader, Redrawing, Refinding
from xfer.training.sources import open_frames
from xfer.training.train_autoencoder import (
    AUTOENCODER_PRESETS,
    AutoencoderTrainer,
    AutoencoderTraining,
)
from xfer.training.train_autoencoder import train_autoencoder as autoencoder_loop
from xfer.training.train_generator import train_generator as generator_loop

SHEET_SEEDS = range(32)
"""The people of every sheet of a run, so that sheets can be compared."""
STRIP = 8
"""The first of them make a strip that is kept as bare pixels, for films of the training."""


def train_generator(
    out: str | Path,
    frames: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    instruments: str | Path | None = None,
    start: str | Path | None = None,
    hours: float | None = None,
    inverter: str | Path | None = None,
) -> Path:
    """Train to the end, drawing a sheet every `sheet_kimg`, and write `generator.safetensors`.

    Args:
        frames: As `sources` understands it.
        instruments: The loss copy, or an ArcFace file, through which a projected critic and an
            anchor look.
        start: A generator's file or shipped name that a new run begins with.
        hours: End after so long, as if the work was done.
        inverter: The file of the encoder that an anchor in W+ begins with; the start's by default.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(config.GENERATOR_PRESETS, preset, **changes)
    world = World.join(device)
    pictures = open_frames(frames, chosen.generator.resolution, chosen.seed, world)
    through = load_instruments(instruments, "loss", reader=False) if instruments else None
    bodies = [part.backbone for part in through.networks] if through else []
    first = Generator.load(start) if start else None
    redrawing = _anchor(chosen, start, inverter, through, world) if chosen.anchor else None
    records = generator_loop(chosen, pictures, out, world, bodies, first, redrawing)
    made = inputs(frames=frames, instruments=instruments, start=start, inverter=inverter)
    began = {"inverter": inverter} if inverter and chosen.anchor else {}
    facts = facts_of(frames_origin(frames, chosen.seed), start, instruments, **began)
    follow(records, world, hours, lambda: save_due_sheet(out, chosen), made)
    companions = [redrawing.encoder.eval()] if redrawing else []
    path = Path(out) / "generator.safetensors"
    return finish(world, path, lambda: export_generator(out, chosen, facts, companions))


def _anchor(
    chosen: GeneratorTraining,
    start: str | Path | None,
    inverter: str | Path | None,
    through: Instruments | None,
    world: World,
) -> Anchor:
    """What redraws real pictures beside the game, with the encoder of the start."""
    expect(start and through, "anchor needs a start with an encoder and the loss-side instruments")
    look = through.look(chosen.look)
    if chosen.anchor_in == "z":
        return Redrawing(LatentReader.load(start), look)
    half = half_dtype(chosen.half, world.device)
    return Refinding(IdentityEncoder.load(inverter or start), look, half=half)


def train_autoencoder(
    out: str | Path,
    frames: str | Path,
    instruments: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
) -> Path:
    """Warm a generator up by redrawing pictures, and write `generator.safetensors`.

    Args:
        instruments: The loss copy, or an ArcFace file.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(AUTOENCODER_PRESETS, preset, **changes)
    measure = load_instruments(instruments, "loss", reader=False)
    world = World.join(device)
    pictures = open_frames(frames, chosen.generator.resolution, chosen.seed, world)
    made = inputs(frames=frames, instruments=instruments)
    records = autoencoder_loop(chosen, pictures, measure, out, world)
    facts = facts_of(frames_origin(frames, chosen.seed), instruments=instruments)
    follow(records, world, hours, inputs=made)
    path = Path(out) / "generator.safetensors"
    return finish(world, path, lambda: export_autoencoder(path, chosen, measure, facts))


def export_autoencoder(
    path: Path, chosen: AutoencoderTraining, measure: Instruments, facts: Mapping[str, Any]
) -> Path:
    """Write the newest generator and its encoder, and draw a sheet of the people it draws.

    Args:
        facts: Where it comes from.
    """
    step, state = Checkpoints(path.parent).load_latest()
    trainer = AutoencoderTrainer(chosen, measure, World())
    trainer.networks.load_state_dict(state["networks"])
    generator = trainer.networks["generator"].eval()
    generator.w_mean.copy_(generator.estimate_w_mean()[0])
    images = draw(generator, SHEET_SEEDS, psi=0.7, noise="none")
    kimg = step * chosen.batch / 1000
    figure = picture_grid(images, 8, title=f"warm start, {kimg:g} kimg, psi 0.7")
    save_figure(figure, path.parent / "sheets" / f"{round(kimg):06d}.png")
    facts = {"kimg": kimg, "seed": chosen.seed} | dict(facts)
    parts = {part.role: part.pack() for part in (generator, trainer.networks["encoder"].eval())}
    return write_checkpoint(path, parts, facts)


def latest_generator(folder: str | Path, chosen: GeneratorTraining) -> tuple[float, Generator]:
    """Thousands of pictures seen, and the averaged generator of the newest checkpoint."""
    found = Checkpoints(folder).load_latest()
    expect(found is not None, f"{folder} holds no checkpoint yet")
    step, state = found
    generator = Generator(chosen.generator)
    generator.load_state_dict(state["ema"])
    return step * chosen.batch / 1000, generator.eval()


def save_due_sheet(folder: str | Path, chosen: GeneratorTraining) -> Path | None:
    """Draw the newest checkpoint's sheet, if it is `sheet_kimg` away from the last one."""
    steps = Checkpoints(folder).steps()
    drawn = max((int(path.stem) for path in (Path(folder) / "sheets").glob("*.png")), default=0)
    if not steps or max(steps) * chosen.batch / 1000 - drawn < chosen.sheet_kimg:
        return None
    return save_sheet(folder, chosen)


def save_sheet(folder: str | Path, chosen: GeneratorTraining) -> Path:
    """Draw the newest checkpoint's sheet of fixed seeds into the run's folder."""
    kimg, generator = latest_generator(folder, chosen)
    images = draw(generator, SHEET_SEEDS, psi=0.7)
    name = f"{round(kimg):06d}.png"
    write_picture(Path(folder) / "strips" / name, tile(images[:STRIP], STRIP)[None])
    figure = picture_grid(images, 8, title=f"{kimg:g} kimg, psi 0.7")
    return save_figure(figure, Path(folder) / "sheets" / name)


def read_strips(folder: str | Path, most: int = 8) -> tuple[Image, list[str]]:
    """The first people of a run's sheets, evenly chosen in time, and a label for each row."""
    paths = sorted((Path(folder) / "strips").glob("*.png"))
    expect(paths, f"{folder} has no strips: train a generator there first")
    last = len(paths) - 1
    chosen = sorted({round(i * last / max(most - 1, 1)) for i in range(most)})
    rows = [torch.cat(read_picture(paths[i]).chunk(STRIP, dim=3)) for i in chosen]
    return torch.cat(rows), [f"{int(paths[i].stem)} kimg" for i in chosen]


def export_generator(
    folder: str | Path,
    chosen: GeneratorTraining,
    facts: Mapping[str, Any],
    companions: Sequence[Storable] = (),
) -> Path:
    """Draw the newest averaged generator's sheet, and write it with where it comes from.

    Args:
        facts: Where it comes from.
        companions: What has learned beside it: an anchor's encoder.
    """
    save_sheet(folder, chosen)
    kimg, generator = latest_generator(folder, chosen)
    facts = {"kimg": kimg, "seed": chosen.seed} | dict(facts)
    packed = {part.role: part.pack() for part in (generator, *companions)}
    return write_checkpoint(Path(folder) / "generator.safetensors", packed, facts)


def keep_record(folder: str | Path, results: str | Path) -> Path:
    """Copy what is worth committing of a run: its record, its curve and its pictures, no weights.

    The curve is thinned to about 200 lines.
    """
    folder, results = Path(folder), Path(results)
    records = list(history(folder))
    every = max(1, len(records) // 200)
    kept = [r for i, r in enumerate(records, 1) if i % every == 0 or i == len(records)]
    with atomic(results / "stats.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
    write_json(results / "run.json", read_json(folder / "run.json"))
    for kind in ("sheets", "strips"):
        paths = sorted((folder / kind).glob("*.png"))
        for path in paths[:: max(1, len(paths) // 10)] + paths[-1:]:
            with atomic(results / kind / path.name) as temporary:
                shutil.copyfile(path, temporary)
    return results


def history(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The run's records without those that a crash made it repeat: one for every step."""
    return iter({record["step"]: record for record in read_stats(folder)}.values())
