"""The frames that a pipeline learns from: as many people as its time allows."""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xfer.errors import BadValue
from xfer.faceworld.native import compiler
from xfer.faceworld.render import render
from xfer.training.distributed import best_device
from xfer.training.memory import is_out_of_memory
from xfer.training.world_frames import GPU_BATCH, Scenes, draw_frames, render_frames


@dataclass(frozen=True)
class FrameSet:
    """A set of world frames."""

    people: int
    frames: int
    seed: int
    """Added to the pipeline's; nobody is in two sets."""
    scenes: Scenes = "frame"


def _sets(seen: int, others: int, clips: int) -> dict[str, FrameSet]:
    return {
        "unseen": FrameSet(200, 5, 1000),
        "seen": FrameSet(seen, 5, 0),
        "others": FrameSet(others, 5, 2000),
        "clips": FrameSet(clips, 8, 3000, "person"),
    }


SETS = {"nano": _sets(1200, 800, 600), "small": _sets(6000, 4000, 3000)}
SETS["medium"] = SETS["small"]
"""By preset and name, with the most people that are worth their time. The loss-side instruments
and all that draws learn from `seen`, the judges from `others`, the transfer from `clips`; `unseen`
measures."""
LEAST_PEOPLE = 16


@dataclass(frozen=True)
class Renderer:
    """A way to render, and how fast it was."""

    device: str
    compiled: bool
    batch: int
    frames_per_second: float = 0.0


def fastest_renderer(size: int, device: str = "auto") -> Renderer:
    """The fastest of the ways there are, each tried on two batches.

    A GPU runs the plain functions in large batches, processors run them compiled where there is a
    compiler; which is faster depends on both.
    """
    tried = [t for way in _ways(best_device(device)) if (t := _timed(way, size)) is not None]
    if not tried:
        raise MemoryError(f"no way to render {size} px finds enough memory")
    return max(tried, key=lambda way: way.frames_per_second)


def _ways(device: torch.device) -> Iterator[Renderer]:
    if device.type == "cuda":
        yield from (Renderer("cuda", False, batch) for batch in (GPU_BATCH, GPU_BATCH // 4))
    compiled = compiler() is not None
    yield Renderer("cpu", compiled, max(16, 4 * torch.get_num_threads()) if compiled else 4)


def _timed(way: Renderer, size: int) -> Renderer | None:
    """The way with its speed; None if memory is too small for it."""
    factors = draw_frames(way.batch, 1, 0, "studio").to(way.device)
    draw = lambda: render(*factors.groups, size, aligned=True, compiled=way.compiled).picture.cpu()
    try:
        draw()  # builds what is to be built
        start = time.perf_counter()
        draw()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    return dataclasses.replace(
        way, frames_per_second=round(way.batch / (time.perf_counter() - start), 2)
    )


def plan(preset: str, seconds: float, frames_per_second: float) -> dict[str, int]:
    """How many people each set has: the preset's, or fewer in the same ratio where time is short.

    Raises:
        BadValue: There is no such preset.
    """
    if preset not in SETS:
        raise BadValue(f"there is no preset {preset!r} here; there are {', '.join(SETS)}")
    sets = SETS[preset]
    wanted = sum(one.people * one.frames for one in sets.values())
    share = min(1.0, seconds * frames_per_second / wanted)
    return {name: max(LEAST_PEOPLE, int(one.people * share)) for name, one in sets.items()}


def render_sets(
    folder: Path, preset: str, size: int, seed: int, people: dict[str, int], way: dict[str, Any]
) -> None:
    """Render all sets that are not complete yet, each into a folder of its name."""
    way = {name: way[name] for name in ("device", "compiled", "batch")}
    for name, one in SETS[preset].items():
        render_frames(
            folder / name, people[name], one.frames, size, seed + one.seed, scenes=one.scenes, **way
        )
