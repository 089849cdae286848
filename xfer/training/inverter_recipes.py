"""The inverter's training from names to weights on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xfer.encoders import IdentityEncoder
from xfer.errors import expect
from xfer.figures import picture_grid, save_figure
from xfer.instruments import load_instruments
from xfer.stylegan2.generator import Generator
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.following import finish, follow
from xfer.training.origins import facts_of, frames_origin, inputs
from xfer.training.sources import examples, open_frames
from xfer.training.train_generator import Batches
from xfer.training.train_inverter import INVERTER_PRESETS, InverterTraining
from xfer.training.train_inverter import train_inverter as inverter_loop


def train_inverter(
    out: str | Path,
    frames: str | Path,
    generator: str | Path,
    instruments: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | Path | None = None,
) -> Path:
    """Train an identity encoder for a generator and write `inverter.safetensors`.

    Args:
        frames: As `sources` understands it.
        generator: A file or shipped name.
        instruments: The loss copy, or an ArcFace file.
        hours: End after so long, as if the work was done.
        start: A file or shipped name whose identity encoder a new run begins with.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(INVERTER_PRESETS, preset, **changes)
    drawer = Generator.load(generator)
    measure = load_instruments(instruments, "loss", reader=False)
    world, first = World.join(device), IdentityEncoder.load(start) if start else None
    pictures = open_frames(frames, drawer.resolution, chosen.seed, world)
    records = inverter_loop(chosen, pictures, drawer, measure, out, world, first)
    made = inputs(frames=frames, generator=generator, instruments=instruments, start=start)
    facts = facts_of(frames_origin(frames, chosen.seed), start, instruments, generator=generator)
    follow(records, world, hours, lambda: save_inversions(out, chosen, pictures, drawer), made)
    path = Path(out) / "inverter.safetensors"
    return finish(world, path, lambda: export_inverter(out, chosen, facts))


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
    folder: str | Path, chosen: InverterTraining, frames: Batches, generator: Generator
) -> Path | None:
    """Frames above their inversions by the newest checkpoint, if there is a new one."""
    if not Checkpoints(folder).steps():
        return None
    kimg, encoder = latest_inverter(folder, chosen)
    path = Path(folder) / "sheets" / f"{round(kimg):06d}.png"
    if path.exists():
        return path
    images = examples(frames).to(generator.w_mean)
    drawn = generator.synthesis(encoder.to(images).invert(images, generator))
    rows = [part for pair in zip(images.split(8), drawn.split(8), strict=True) for part in pair]
    labels = ["frame", "inversion"] * (len(rows) // 2)
    figure = picture_grid(torch.cat(rows).cpu(), 8, row_labels=labels, title=f"{kimg:g} kimg")
    return save_figure(figure, path)


def export_inverter(folder: str | Path, chosen: InverterTraining, facts: Mapping[str, Any]) -> Path:
    """Write the newest encoder as safetensors.

    Args:
        facts: Where it comes from.
    """
    kimg, encoder = latest_inverter(folder, chosen)
    facts = {"kimg": kimg, "seed": chosen.seed} | dict(facts)
    return encoder.save(Path(folder) / "inverter.safetensors", facts)
