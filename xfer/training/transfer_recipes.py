"""A transfer's training from names to weights on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xfer.datasets.sources import Frames
from xfer.encoders import IdentityEncoder, MotionEncoder
from xfer.errors import expect
from xfer.figures import picture_grid, save_figure
from xfer.instruments import load_instruments
from xfer.mapper import build_mapper
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.following import finish, follow
from xfer.training.latents import invert_frames, read_latents
from xfer.training.origins import facts_of, frames_origin, inputs
from xfer.training.sources import open_people
from xfer.training.train_transfer import TRANSFER_PRESETS, TransferTraining
from xfer.training.train_transfer import train_transfer as transfer_loop
from xfer.training.transfer_clips import Cast, ClipCast, PeopleCast, TransferClips
from xfer.training.world_frames import WorldFrames

DRIVERS, PEOPLE = 7, 5
"""Columns and rows of a sheet, beside the edges."""


def train_transfer(
    out: str | Path,
    clips: str | Path,
    generator: str | Path,
    inverter: str | Path,
    instruments: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | Path | None = None,
) -> Path:
    """Train motion encoder and mapper, and write `transfer.safetensors` with all four networks.

    Args:
        clips: World frames or prepared clips; their latents are made first where there are none.
        generator, inverter: Files or shipped names; both stay as they are.
        instruments: The loss copy, or an ArcFace file.
        hours: End after so long, as if the work was done.
        start: A model whose motion encoder and mapper a new run begins with, file or shipped name.
    """
    changes = config.parse_settings(list(settings))
    chosen = config.preset(TRANSFER_PRESETS, preset, **changes)
    measure = load_instruments(instruments, "loss", reader=False)
    world = World.join(device)
    drawer, encoder = Generator.load(generator), IdentityEncoder.load(inverter)
    pictures = open_clips(clips, generator, inverter, drawer.resolution, chosen.seed, device, world)
    first = _begun(start, chosen.mapper.kind) if start else None
    records = transfer_loop(chosen, pictures, drawer, measure, out, world, start=first)
    parts = {"generator": generator, "inverter": inverter}
    made = inputs(clips=clips, instruments=instruments, start=start, **parts)
    facts = facts_of(frames_origin(clips), start, instruments, **parts)
    follow(records, world, hours, lambda: save_transfers(out, chosen, pictures, drawer), made)
    path = Path(out) / "transfer.safetensors"
    return finish(world, path, lambda: export_transfer(out, chosen, drawer, encoder, facts))


def _begun(start: str | Path, kind: str) -> dict[str, torch.nn.Module]:
    """What a model has learned that a new run can begin with; its mapper only if of that kind."""
    model = Transfer.load(start)
    begun = {"motion_encoder": model.motion_encoder, "mapper": model.mapper}
    return begun if model.mapper.config.kind == kind else {"motion_encoder": model.motion_encoder}


def open_clips(
    folder: str | Path,
    generator: str | Path,
    inverter: str | Path,
    resolution: int,
    seed: int = 0,
    device: str = "auto",
    world: World | None = None,
) -> TransferClips:
    """World frames or prepared clips with the latents that these weights give them.

    Args:
        world: The processes that train together; one alone makes latents that are missing.
    """
    expect(
        world is None or world.size == 1 or (Path(folder) / "latents.json").exists(),
        f"several processes read latents that are there: make {folder}'s with `xfer train latents`",
    )
    frames = open_people(folder, resolution, seed)
    cast = _cast(folder, frames)
    invert_frames(folder, generator, inverter, device=device)
    return TransferClips(frames, cast, read_latents(folder, generator, inverter))


def _cast(folder: str | Path, frames: WorldFrames | Frames) -> Cast:
    """Who appears with whom."""
    if isinstance(frames, Frames):
        return ClipCast(frames)
    expect(
        frames.record.get("scenes", "frame") == "person",
        f"{folder} shows a person in another scene in every frame, which no driver can tell; "
        "render clips with `xfer world frames --scenes person`",
    )
    return PeopleCast(frames, frames.table["person"].to_numpy())


def latest_transfer(
    folder: str | Path,
    chosen: TransferTraining,
    generator: Generator,
    inverter: IdentityEncoder | None = None,
) -> tuple[float, Transfer]:
    """Thousands of pictures seen, and the model of the newest checkpoint."""
    found = Checkpoints(folder).load_latest()
    expect(found is not None, f"{folder} holds no checkpoint yet")
    step, state = found
    parts = {"motion_encoder": MotionEncoder(chosen.encoder), "mapper": build_mapper(chosen.mapper)}
    torch.nn.ModuleDict(parts).load_state_dict(state["networks"])
    model = Transfer(generator, **parts, identity_encoder=inverter)
    return step * chosen.batch / 1000, model.eval()


@torch.no_grad()
def save_transfers(
    folder: str | Path, chosen: TransferTraining, clips: TransferClips, generator: Generator
) -> Path | None:
    """Drivers in the first row, people in the first column, and the newest checkpoint's outputs.

    The first person is the first driver's own. Nothing is drawn without a new checkpoint.
    """
    steps = Checkpoints(folder).steps()
    if not steps:
        return None
    path = Path(folder) / "sheets" / f"{round(steps[-1] * chosen.batch / 1000):06d}.png"
    if path.exists():
        return path
    kimg, model = latest_transfer(folder, chosen, generator)
    model.to(generator.w_mean.device)
    items = clips.items(0, max(DRIVERS, PEOPLE))
    drivers = clips.frames.pictures(items.driver[:DRIVERS]).to(generator.w_mean)
    codes = clips.codes(items.identity[:1] + items.other[: PEOPLE - 1]).to(generator.w_mean)
    rows = [torch.cat([torch.ones_like(drivers[:1]), drivers])]
    for code in codes.split(1):
        rows.append(torch.cat([generator.synthesis(code), model.transfer(drivers, code)]))
    labels = ["", "driver 1's own", *["another"] * (PEOPLE - 1)]
    figure = picture_grid(
        torch.cat(rows).cpu(),
        DRIVERS + 1,
        title=f"transfer, {kimg:g} kimg",
        row_labels=labels,
        column_labels=["identity", *(f"driver {i + 1}" for i in range(DRIVERS))],
    )
    return save_figure(figure, path)


def export_transfer(
    folder: str | Path,
    chosen: TransferTraining,
    generator: Generator,
    inverter: IdentityEncoder,
    facts: Mapping[str, Any],
) -> Path:
    """Write the newest model as safetensors.

    Args:
        facts: Where it comes from.
    """
    kimg, model = latest_transfer(folder, chosen, generator.cpu(), inverter.cpu())
    facts = {"kimg": kimg, "seed": chosen.seed} | dict(facts)
    return model.save(Path(folder) / "transfer.safetensors", facts)
