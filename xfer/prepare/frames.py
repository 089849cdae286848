"""Inputs as frames that can be gone through more than once, and the face world's own truth."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xfer.errors import BadFile
from xfer.media.detectors import Points
from xfer.media.kinds import kind_of
from xfer.media.pictures import read_pixels
from xfer.media.video import Frame, VideoReader
from xfer.prepare.sequences import in_order
from xfer.prepare.sources import Input
from xfer.prepare.walking import WORLD_TABLE

REMEMBERED = 160 << 20
"""Clips of so many bytes or less are decoded once and kept for the second reading."""


def frames_of(job: Input, fps: float) -> "Remembered":
    """The input's frames; every iteration starts anew."""
    return Remembered(_source(job, fps))


def _source(job: Input, fps: float) -> Iterable[Frame]:
    if job.kind == "picture":
        return _Single(job.path)
    if job.kind == "frames":
        return _Folder(job.path, fps)
    return VideoReader(job.path, fps)


class Remembered:
    """Frames that need not be decoded again if all of them fit into a little memory."""

    def __init__(self, source: Iterable[Frame], most_bytes: int = REMEMBERED):
        self._source, self._most = source, most_bytes
        self._kept: list[Frame] | None = None

    @property
    def skipped(self) -> int:
        """Damaged packets or pictures passed over."""
        return getattr(self._source, "skipped", 0)

    def __iter__(self) -> Iterator[Frame]:
        if self._kept is not None:
            yield from self._kept
            return
        keep, size = [], 0
        for frame in self._source:
            size += frame.pixels.nbytes
            if size <= self._most:
                keep.append(frame)
            else:
                keep.clear()
            yield frame
        if size <= self._most:
            self._kept = keep


class _Folder:
    """A folder of pictures as frames; damaged ones are skipped and counted."""

    def __init__(self, path: str, fps: float):
        shown = [p for p in Path(path).iterdir() if not p.name.startswith(".")]
        self._paths = in_order([p for p in shown if kind_of(p) == "picture"])
        self._fps, self.skipped = fps, 0

    def __iter__(self) -> Iterator[Frame]:
        self.skipped, last = 0, ""
        for number, path in enumerate(self._paths):
            try:
                yield Frame(read_pixels(path), number / self._fps, number)
            except BadFile as error:
                self.skipped, last = self.skipped + 1, str(error)
        if self.skipped == len(self._paths):
            raise BadFile(f"none of the {self.skipped} pictures can be read; the last one: {last}")


class _Single:
    """A picture as a clip of one frame."""

    def __init__(self, path: str):
        self._path = path

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(read_pixels(self._path), 0.0, 0)


@lru_cache(maxsize=2)
def _world_table(path: Path) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """The table of one folder, and the rows of each of its clips."""
    table = pq.read_table(path)
    clips = table["clip"].to_pandas()
    names = clips.map(lambda clip: clip if isinstance(clip, str) else f"clip_{clip:05d}")
    return table, names.groupby(names).indices


def world_rows(job: Input) -> pd.DataFrame:
    """What the face world says of each frame of one of its clips, by frame number."""
    path = Path(job.path)
    table, rows = _world_table(path.with_name(WORLD_TABLE))
    if path.stem not in rows:
        raise BadFile(f"{path.with_name(WORLD_TABLE)} has no row for {path.stem}")
    return table.take(rows[path.stem]).to_pandas().set_index("frame")


def true_points(rows: pd.DataFrame, number: int) -> Points | None:
    """The true landmarks of a frame of the face world in coordinates of the picture."""
    if number not in rows.index:
        return None
    points = np.stack(rows.at[number, "landmarks"]).astype(np.float32).reshape(68, 2)
    # The world counts pixels from their edges, pictures from their centres.
    return points - 0.5
