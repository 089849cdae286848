"""Clips of the face world as videos with their truth beside them.

clip_00000.mp4   one near-lossless video per person
frames.parquet   one row a frame: clip, frame, all factors, landmarks (pixels, x0, y0, x1, ...)
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from xfer.errors import RunError, expect
from xfer.faceworld.clips import FPS, draw_clip
from xfer.faceworld.render import render
from xfer.media.provenance import Source
from xfer.media.video_out import VideoWriter
from xfer.pixels import to_uint8
from xfer.runs import Progress, atomic

BATCH = 8
TABLE = "frames.parquet"


def render_clips(
    out: str | Path,
    people: int,
    frames: int,
    size: int = 256,
    seed: int = 0,
    preset: str = "wild",
    compiled: bool | None = None,
) -> Path:
    """Write `people` clips of `frames` frames and their table; the table is written last.

    Args:
        compiled: By default where a C++ compiler is found.
    """
    expect(people >= 1 and frames >= 1, f"at least one person and frame; got {people}, {frames}")
    expect(size % 4 == 0 and size >= 16, f"size is a multiple of 4, at least 16; got {size}")
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    compiled = shutil.which("g++") is not None if compiled is None else compiled
    progress, rows = Progress(people * frames, f"rendering {size} px", "frames"), []
    for clip in range(people):
        rows.append(_render_clip(out, clip, frames, size, seed, preset, compiled, progress))
    with atomic(out / TABLE) as temporary:
        pd.concat(rows, ignore_index=True).to_parquet(temporary, index=False)
    return out


def _render_clip(
    out: Path,
    clip: int,
    frames: int,
    size: int,
    seed: int,
    preset: str,
    compiled: bool,
    progress: Progress,
) -> pd.DataFrame:
    """One video; its rows of the table."""
    name = f"clip_{clip:05d}"
    factors, landmarks = draw_clip(frames, seed, clip, preset), []
    video = VideoWriter(
        out / f"{name}.mp4", fps=FPS, source=Source.RENDERED, crf=4, full_colour=True
    )
    with video:
        for start in range(0, frames, BATCH):
            some = factors.index(slice(start, start + BATCH))
            drawn = render(*some.groups, size, compiled=compiled)
            landmarks.extend(drawn.landmarks.flatten(1).numpy())
            for pixels in to_uint8(drawn.picture):
                video.add(pixels)
            progress.advance(len(some))
    columns = {factor: values.numpy() for factor, values in factors.columns.items()}
    known = {"clip": [name] * frames, "frame": np.arange(frames)}
    return pd.DataFrame(known | columns | {"landmarks": landmarks})
