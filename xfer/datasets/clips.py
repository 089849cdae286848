"""Random access to prepared clips: any frame by its row in the index."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from pyarrow import parquet
from torch import Tensor

from xfer.axes import Image
from xfer.backbones import fit
from xfer.crop import Crop
from xfer.datasets.layout import INDEX, SETTINGS
from xfer.errors import BadFile, BadValue, MissingFile, expect
from xfer.media.pictures import decode_picture
from xfer.pixels import from_uint8
from xfer.runs import read_json

FLAGS = ("is_blurred", "is_small", "is_turned", "is_outside")
"""Quality flags of the index."""


def is_prepared(folder: str | Path) -> bool:
    """Whether `xfer prepare` has begun to write this folder, be it complete or not."""
    return any((Path(folder) / name).exists() for name in (INDEX, SETTINGS))


def splits_of(folder: str | Path) -> set[str]:
    """The splits that a prepared folder has."""
    _check_there(Path(folder))
    return set(_read_index(Path(folder), ["split"])["split"])


def _check_there(folder: Path) -> None:
    if (folder / INDEX).exists():
        return
    if is_prepared(folder):
        raise MissingFile(
            f"the preparation of {folder} is not complete (no {INDEX}): give the same "
            f"`xfer prepare` again, or `xfer prepare merge {folder}` if several had a --shard"
        )
    raise MissingFile(
        f"{folder} holds no prepared clips (no {INDEX}); make them with "
        f"`xfer prepare SOURCES --out {folder}`"
    )


def _read_index(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """All columns of the index, or some: landmarks are large."""
    path = folder / INDEX
    try:
        rows = parquet.read_metadata(path).num_rows
        index = pd.read_parquet(path, columns=columns) if rows else None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} is no index of clips: {error}") from error
    if index is None:
        raise BadValue(f"{folder} holds no frame: every input was rejected")
    return index


class Clips:
    """Prepared clips of one folder.

    Args:
        folder: As written by `xfer prepare`.
        split: 'train', 'val' or 'test'; None for all.
        without: Quality flags whose frames are left out, such as 'is_blurred'.
        size: Edge of the pictures that are given; by default as they were prepared.

    Attributes:
        index: One row for every frame; its row number is the frame's item number here.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str | None = None,
        without: Sequence[str] = (),
        size: int | None = None,
    ):
        self.folder = Path(folder)
        _check_there(self.folder)
        self.settings: dict[str, Any] = read_json(self.folder / SETTINGS)["settings"]
        self._size = size
        self.index = self._chosen(_read_index(self.folder), split, without)
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()

    def _chosen(
        self, index: pd.DataFrame, split: str | None, without: Sequence[str]
    ) -> pd.DataFrame:
        expect(set(without) <= set(FLAGS), f"quality flags are {FLAGS}; got {tuple(without)}")
        if split is not None:
            splits = sorted(index["split"].unique())
            expect(split in splits, f"{self.folder} has the splits {splits}; got '{split}'")
            index = index[index["split"] == split]
        for flag in without:
            index = index[~index[flag]]
        expect(len(index), f"no frame of {self.folder} is left without {', '.join(without)}")
        return index.reset_index(drop=True)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def resolution(self) -> int:
        """Edge of the pictures in pixels."""
        return self._size or self.stored_resolution

    @property
    def stored_resolution(self) -> int:
        """Edge of the pictures on disk."""
        return self.settings["size"]

    def items_by(self, column: str) -> dict[str, np.ndarray]:
        """Item numbers of every 'person' or 'clip', in the order of the index."""
        return dict(self.index.groupby(column, sort=False).indices.items())

    def pixels(self, items: Sequence[int]) -> UInt8[np.ndarray, "batch size size 3"]:
        """Frames as bytes, channels last, of the size they were prepared at."""
        return np.stack([self._read(int(item)) for item in items])

    def pictures(self, items: Sequence[int]) -> Image:
        """Frames in [-1, 1]."""
        return fit(from_uint8(self.pixels(items)), self.resolution)

    def landmarks(self, items: Sequence[int]) -> Float[Tensor, "batch 68 2"]:
        """68 points in crop coordinates: the picture's edges are -1 and 1."""
        rows = np.stack(self.index["landmarks"].iloc[list(items)].to_list())
        return torch.from_numpy(rows.astype(np.float32).reshape(-1, 68, 2))

    def crop(self, items: Sequence[int]) -> Crop:
        """Where the frames were cut out of their pictures, in pixels: for pasting back."""
        names = ["crop_center_x", "crop_center_y", "crop_half_x", "crop_half_y"]
        place = self.columns(items, names)
        return Crop(place[:, :2], place[:, 2:])

    def columns(self, items: Sequence[int], names: Sequence[str]) -> Float[Tensor, "batch names"]:
        """Numbers of the index, such as the face world's factors."""
        known = set(self.index.columns)
        missing = [name for name in names if name not in known]
        expect(not missing, f"the index of {self.folder} has no {', '.join(missing)}")
        numbers = self.index[list(names)].iloc[list(items)]
        return torch.tensor(numbers.to_numpy(np.float32))

    def _read(self, item: int) -> UInt8[np.ndarray, "size size 3"]:
        expect(0 <= item < len(self), f"items go from 0 to {len(self) - 1}; got {item}")
        row = self._row(item)
        data = os.pread(self._file(row[0]), row[2], row[1])
        where = f"{self.folder / row[0]}, bytes {row[1]} to {row[1] + row[2]}"
        pixels = decode_picture(data, where)
        if pixels.shape != (self.stored_resolution, self.stored_resolution, 3):
            raise BadFile(f"{where}: a picture of another size than the index says")
        return pixels

    def _row(self, item: int) -> tuple[str, int, int]:
        place = self.index
        return (
            place["shard"].iat[item],
            int(place["offset"].iat[item]),
            int(place["length"].iat[item]),
        )

    def _file(self, shard: str) -> int:
        """An open file for the shard; readers in several threads share it."""
        with self._lock:
            if shard not in self._files:
                try:
                    self._files[shard] = os.open(self.folder / shard, os.O_RDONLY)
                except FileNotFoundError:
                    raise MissingFile(
                        f"{self.folder / shard} is missing; prepare the folder again"
                    ) from None
            return self._files[shard]

    def close(self) -> None:
        """Close the shards; they open again when they are needed."""
        with self._lock:
            for handle in self._files.values():
                os.close(handle)
            self._files.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Without open files, so that other processes open their own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_files", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _files={}, _lock=threading.Lock())

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()
