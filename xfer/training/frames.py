"""Training pictures by position: the endless, seeded order over a fixed set of frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from xfer.errors import BadFile, expect
from xfer.pixels import from_uint8
from xfer.training.randomness import permutation


@runtime_checkable
class StoredFrames(Protocol):
    """A fixed set of frames, by number and in an endless order of a seed."""

    seed: int

    @property
    def resolution(self) -> int: ...

    def __len__(self) -> int: ...

    def at(self, positions: Sequence[int]) -> Float[Tensor, "batch 3 height width"]: ...

    def items(self, positions: Sequence[int]) -> list[int]: ...

    def pictures(self, items: Sequence[int]) -> Float[Tensor, "batch 3 height width"]: ...


class FrameArray:
    """Frames held in one array, in memory or mapped from a .npy file.

    Position p of the endless order is item `p mod n` of epoch `p div n`; every epoch has its own
    order, a function of the seed.

    Args:
        frames: uint8 pictures `n height width 3`, or a .npy file of such.
    """

    def __init__(self, frames: np.ndarray | str | Path, seed: int = 0):
        if not isinstance(frames, np.ndarray):
            try:
                frames = np.load(frames, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise BadFile(f"{frames} should be a .npy array of pictures: {error}") from error
        expect(
            frames.ndim == 4 and frames.shape[3] == 3 and frames.dtype == np.uint8 and len(frames),
            f"frames are uint8 of shape n x height x width x 3, n at least 1; "
            f"got {frames.dtype} of shape {frames.shape}",
        )
        self.frames, self.seed = frames, seed
        self._order: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def resolution(self) -> int:
        """Edge of a picture in pixels."""
        return self.frames.shape[1]

    def at(self, positions: Sequence[int]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures at these positions of the endless order, in [-1, 1]."""
        return self.pictures(self.items(positions))

    def items(self, positions: Sequence[int]) -> list[int]:
        """Which item each position of the endless order shows."""
        return [self._item(position) for position in positions]

    def pictures(self, items: Sequence[int]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures by item number, in [-1, 1]."""
        return from_uint8(np.stack([self.frames[item] for item in items]))

    def _item(self, position: int) -> int:
        epoch, place = divmod(position, len(self.frames))
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, permutation(self.seed, epoch, len(self.frames))
        return int(self._order[1][place])
