"""Labelled training frames of the face world, rendered once and read many times.

frames.npy       uint8, n x size x size x 3, aligned
frames.parquet   one row a frame: person, all factors, landmarks in the crop (x0, y0, x1, ...)
frames.json      what was asked for; written last, the mark of a complete set
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.datasets.clips import is_prepared
from xfer.errors import BadValue, MissingFile, RunError, expect
from xfer.faceworld.factors import Factors, draw_identity, draw_motion, draw_scene, seeded
from xfer.faceworld.native import compiler
from xfer.faceworld.render import Rendering, render
from xfer.pixels import to_uint8
from xfer.runs import Progress, atomic, environment, read_json, write_json
from xfer.training.distributed import best_device
from xfer.training.frames import FrameArray

CHUNK = 1024
"""Frames between two notes of how far the rendering is."""
GPU_BATCH = 256
"""Frames at a time that keep a GPU busy."""
CPU_PIXELS = 1 << 17
"""Of a batch: fewer leave a core waiting between pictures, more leave its cache."""

Scenes = Literal["frame", "person"]
"""A scene for every frame, or one for all frames of a person."""


def draw_frames(
    people: int, frames: int, seed: int, preset: str, scenes: Scenes = "frame"
) -> Factors:
    """Factors of `people * frames` pictures; the first `frames` show the first person.

    Pose differs between any two pictures. So does the scene, so that nothing but the face tells
    people apart, unless a person keeps one: then only motion differs, as in a clip.
    """
    total = people * frames
    kept = frames if scenes == "person" else 1
    return Factors(
        draw_identity(people, seeded(seed, 0)).repeat(frames),
        draw_motion(total, seeded(seed, 1)),
        draw_scene(total // kept, seeded(seed, 2), preset).repeat(kept),
    )


def render_frames(
    folder: str | Path,
    people: int,
    frames: int,
    size: int = 64,
    seed: int = 0,
    preset: str = "studio",
    batch: int | None = None,
    compiled: bool | None = None,
    scenes: Scenes = "frame",
    device: str = "auto",
) -> Path:
    """Render a set of frames; called again after an interruption, it goes on.

    Args:
        batch: Frames at a time; by default what keeps the device busy.
        compiled: On a CPU: inner loops built by its C++ compiler; by default where there is one.
        scenes: As in `draw_frames`.
        device: cpu, cuda, or auto for the best that is there.
    """
    expect(scenes in ("frame", "person"), f"scenes is 'frame' or 'person'; got {scenes!r}")
    expect(people >= 1 and frames >= 1, f"at least one person and frame; got {people}, {frames}")
    folder = Path(folder)
    wanted = {
        "people": people, "frames": frames, "size": size, "seed": seed, "preset": preset,
        "scenes": scenes,
    }  # fmt: skip
    if (folder / "frames.json").exists():
        _same_request(folder, wanted)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    compiled = compiler() is not None if compiled is None else compiled
    place = best_device(device)
    batch = batch or (GPU_BATCH if place.type == "cuda" else max(8, CPU_PIXELS // size**2))
    factors = draw_frames(people, frames, seed, preset, scenes)
    draw = lambda some: render(*some.to(place).groups, size, aligned=True, compiled=compiled)
    if (folder / "frames.npy").exists():  # all was done but the record
        _same_request(folder, wanted, ".progress.json")
    else:
        landmarks = _render_all(folder, wanted, factors, batch, draw)
        _write_table(folder / "frames.parquet", factors, landmarks, frames)
        (folder / ".frames.npy").rename(folder / "frames.npy")
    write_json(folder / "frames.json", wanted | {"environment": environment()})
    for name in (".landmarks.npy", ".progress.json"):
        (folder / name).unlink()
    return folder


def _same_request(folder: Path, wanted: dict, name: str = "frames.json") -> dict:
    found = {"scenes": "frame"} | read_json(folder / name)  # older records do not say
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise RunError(
            f"{folder} holds other frames ({', '.join(f'{k} {found.get(k)}' for k in differing)}); "
            "choose another folder"
        )
    return found


def _render_all(
    folder: Path, wanted: dict, factors: Factors, batch: int, draw: Callable[[Factors], Rendering]
) -> np.ndarray:
    """Fill .frames.npy and return all landmarks, noting progress every chunk."""
    total, size, note = len(factors), wanted["size"], folder / ".progress.json"
    resuming = note.exists()
    done = _same_request(folder, wanted, note.name)["done"] if resuming else 0
    mode = "r+" if resuming else "w+"
    pictures = open_array(folder / ".frames.npy", mode, np.uint8, (total, size, size, 3))
    landmarks = open_array(folder / ".landmarks.npy", mode, np.float32, (total, 68, 2))
    progress = Progress(total, f"rendering {size} px", "frames", every_seconds=30, done=done)
    for start in range(done, total, batch):
        rows = torch.arange(start, min(start + batch, total))
        drawn = draw(factors.index(rows))
        pictures[rows.numpy()] = to_uint8(drawn.picture)
        landmarks[rows.numpy()] = drawn.landmarks_in_crop.cpu().numpy()
        progress.advance(len(rows))
        end = start + len(rows)
        if end == total or end // CHUNK != start // CHUNK:
            pictures.flush()
            landmarks.flush()
            write_json(note, wanted | {"done": end})
    return np.asarray(landmarks)


def open_array(path: Path, mode: str, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A .npy file mapped for writing: an old one (`r+`), or a new one of zeros (`w+`)."""
    if mode == "r+":
        return np.load(path, mmap_mode="r+")
    return np.lib.format.open_memmap(path, mode, dtype, shape)


def _write_table(path: Path, factors: Factors, landmarks: np.ndarray, frames: int) -> None:
    columns = {"person": np.arange(len(factors)) // frames}
    columns |= {name: values.numpy() for name, values in factors.columns.items()}
    columns["landmarks"] = list(landmarks.reshape(len(factors), -1))
    with atomic(path) as temporary:
        pd.DataFrame(columns).to_parquet(temporary, index=False)


class WorldFrames(FrameArray):
    """Frames with what is true of them.

    Args:
        folder: As written by `render_frames`.
        seed: Of the endless order.
    """

    def __init__(self, folder: str | Path, seed: int = 0):
        folder = Path(folder)
        if is_prepared(folder):
            raise BadValue(
                f"{folder} holds prepared clips, of which nobody knows the truth that is needed "
                "here; name world frames, as `xfer world frames --out data/seen` makes them"
            )
        if not (folder / "frames.json").exists():
            raise MissingFile(
                f"{folder} holds no complete set of frames; make one with `xfer world frames "
                f"--out {folder}`"
            )
        super().__init__(folder / "frames.npy", seed)
        self.record = read_json(folder / "frames.json")
        table = pd.read_parquet(folder / "frames.parquet")
        self.landmarks = torch.from_numpy(np.stack(table.pop("landmarks")))
        self.table = table

    def factors(self, names: list[str]) -> Float[Tensor, "n factors"]:
        """Columns of the table as a tensor."""
        return torch.from_numpy(self.table[names].to_numpy(np.float32, copy=True))
