"""Latents of a whole folder of frames, inverted once and read by every training after.

latents.npy      float32, n x styles x w, beside frames.npy and in its order; beside index.parquet
                 in the order of its rows of the split that is learned from
latents.json     which generator, inverter and frames they belong to; written last
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xfer.encoders import DrawsLatents, IdentityEncoder
from xfer.errors import MissingFile, RunError
from xfer.files import registry
from xfer.files.records import sha256
from xfer.precision import autocast, half_dtype
from xfer.runs import Progress, read_json, write_json
from xfer.stylegan2.generator import Generator
from xfer.training.distributed import World
from xfer.training.frames import StoredFrames
from xfer.training.sources import open_people, record_of
from xfer.training.world_frames import open_array

CHUNK = 1024
"""Frames between two notes of how far the inversion is."""


def invert_frames(
    folder: str | Path,
    generator: str | Path,
    inverter: str | Path,
    batch: int = 32,
    device: str = "auto",
    half: str = "auto",
) -> Path:
    """Write the latents of all frames; called again after an interruption, it goes on.

    Args:
        folder: World frames, or prepared clips, of which those are inverted that are learned from.
        generator, inverter: Files or shipped names.
        half: Data type of convolutions: bfloat16, auto (that, where it is fast) or none.

    Raises:
        RunError: The folder holds latents of other weights, complete or begun.
    """
    place, drawer = World.join(device).device, Generator.load(generator)
    frames, folder = open_people(folder, drawer.resolution), Path(folder)
    asked, note = wanted_latents(folder, generator, inverter), folder / ".latents.json"
    path, begun = folder / "latents.npy", folder / ".latents.npy"
    if (folder / "latents.json").exists():
        _same_weights(folder, asked, "latents.json")
        return path
    done = _same_weights(folder, asked, note.name)["done"] if note.exists() else 0
    if done < len(frames):
        dtype = half_dtype(half, place)
        drawer = drawer.to(place).prepare(dtype or torch.float32)
        encoder = IdentityEncoder.load(inverter).to(place)
        shape = (len(frames), encoder.config.n_styles, encoder.config.w_dim)
        latents = open_array(begun, "r+" if done else "w+", np.float32, shape)
        for end in _invert(frames, latents, encoder, drawer, done, batch, dtype):
            latents.flush()
            write_json(note, asked | {"done": end})
    if begun.exists():
        begun.rename(path)
    write_json(folder / "latents.json", asked)
    note.unlink()
    return path


def _invert(
    frames: StoredFrames,
    latents: np.ndarray,
    encoder: IdentityEncoder,
    drawer: DrawsLatents,
    done: int,
    batch: int,
    half: torch.dtype | None,
) -> Iterator[int]:
    """Fill the array from frame `done` on, telling after every chunk how far it is."""
    total = len(frames)
    progress = Progress(total, "inverting", "frames", every_seconds=30, done=done)
    for start in range(done, total, batch):
        end = min(start + batch, total)
        images = frames.pictures(range(start, end)).to(drawer.w_mean)
        with torch.no_grad(), autocast(half, images.device):
            found = encoder.invert(images, drawer)
        latents[start:end] = found.float().cpu().numpy()
        progress.advance(end - start)
        if end == total or end // CHUNK != start // CHUNK:
            yield end


def read_latents(folder: str | Path, generator: str | Path, inverter: str | Path) -> np.ndarray:
    """The latents beside frames, mapped from disk, if they are of these weights.

    Raises:
        MissingFile, RunError: There are none; they are of other weights.
    """
    folder = Path(folder)
    if not (folder / "latents.json").exists():
        raise MissingFile(f"{folder} holds no latents; make them with `xfer train latents`")
    _same_weights(folder, wanted_latents(folder, generator, inverter), "latents.json")
    return np.load(folder / "latents.npy", mmap_mode="r", allow_pickle=False)


def wanted_latents(
    folder: str | Path, generator: str | Path, inverter: str | Path
) -> dict[str, Any]:
    """What latents of a folder by these weights record."""
    files = {"generator": generator, "inverter": inverter}
    record = {role: sha256(registry.locate(file)) for role, file in files.items()}
    return record | {"frames": record_of(folder)}


def _same_weights(folder: Path, wanted: dict[str, Any], name: str) -> dict[str, Any]:
    found = read_json(folder / name)
    stale = [key for key in wanted if found.get(key) != wanted[key]]
    if stale:
        raise RunError(
            f"{folder / name} tells of latents of another {' and another '.join(stale)}; delete "
            "it, then make them anew with `xfer train latents`"
        )
    return found
