"""Labelled training frames of the face world, rendered once and read many times.

frames.npy       uint8, n x size x size x 3, aligned
frames.parquet   one row a frame: person, all factors, landmarks in the crop (x0, y0, x1, ...)
frames.json      what was asked for; written last, the mark of a complete set
"""

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xfer.errors import MissingFile, RunError, expect
from xfer.faceworld.factors import Factors, draw_identity, draw_motion, draw_scene, seeded
from xfer.faceworld.render import render
from xfer.pixels import to_uint8
from xfer.runs import Progress, atomic, environment, read_json, write_json
from xfer.training.frames import FrameArray

CHUNK = 1024
"""Frames between two notes of how far the rendering is."""


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
    batch: int = 16,
    compiled: bool | None = None,
    scenes: Scenes = "frame",
) -> Path:
    """Render a set of frames; called again after an interruption, it goes on.

    Args:
        compiled: Render through torch.compile; by default where a C++ compiler is found.
        scenes: As in `draw_frames`.
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
    compiled = shutil.which("g++") is not None if compiled is None else compiled
    factors = draw_frames(people, frames, seed, preset, scenes)
    landmarks = _render_all(folder, wanted, factors, size, batch, compiled)
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
    folder: Path, wanted: dict, factors: Factors, size: int, batch: int, compiled: bool
) -> np.ndarray:
    """Fill .frames.npy and return all landmarks, noting progress every chunk."""
    total, note = len(factors), folder / ".progress.json"
    resuming = note.exists()
    done = _same_request(folder, wanted, note.name)["done"] if resuming else 0
    mode = "r+" if resuming else "w+"
    pictures = open_array(folder / ".frames.npy", mode, np.uint8, (total, size, size, 3))
    landmarks = open_array(folder / ".landmarks.npy", mode, np.float32, (total, 68, 2))
    progress = Progress(total, f"rendering {size} px", "frames", every_seconds=30, done=done)
    for start in range(done, total, batch):
        rows = torch.arange(start, min(start + batch, total))
        drawn = render(*factors.index(rows).groups, size, aligned=True, compiled=compiled)
        pictures[rows.numpy()] = to_uint8(drawn.picture)
        landmarks[rows.numpy()] = drawn.landmarks_in_crop.numpy()
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
