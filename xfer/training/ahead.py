"""The pictures of the next step, read while the networks learn from those of this one.

What a step sees follows from its number, so nothing changes but when it is read. That pays where
reading is work: decoding prepared clips, rendering the endless world. Arrays, in memory or mapped,
are read as they are.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from xfer.axes import Image
from xfer.datasets.clips import Clips
from xfer.datasets.sources import Frames
from xfer.datasets.world import RenderedFrames
from xfer.datasets.world import World as FaceWorld

Asked = TypeVar("Asked")
Given = TypeVar("Given")

THREAD = "reading ahead"
"""What its threads are called."""


class Ahead(Generic[Asked, Given]):
    """A function whose next answer is worked out while the last one is used.

    Each answer has a thread of its own, which ends with it. So there is nothing to close: a loop
    that ends, fails or is left in the middle leaves one answer behind that nobody fetches.

    Args:
        give: The function; its answer follows from what is asked alone.
        following: What will be asked for next. Where something else is, no harm is done.
    """

    def __init__(self, give: Callable[[Asked], Given], following: Callable[[Asked], Asked]):
        self._give, self._following = give, following
        self._next: tuple[Asked, Future[Given]] | None = None

    def __call__(self, asked: Asked) -> Given:
        """The answer. What went wrong in the thread is raised here, where it would be without."""
        ready, self._next = self._next, None
        given = ready[1].result() if ready and ready[0] == asked else self._give(asked)
        following = self._following(asked)
        self._next = following, _begun(self._give, following)
        return given


def _begun(give: Callable[[Asked], Given], asked: Asked) -> Future[Given]:
    future: Future[Given] = Future()

    def work() -> None:
        try:
            future.set_result(give(asked))
        except BaseException as error:  # whatever it is, it belongs to whoever asks
            future.set_exception(error)

    threading.Thread(target=work, name=THREAD).start()
    return future


def _of_next_step(processes: int) -> Callable[[list[int]], list[int]]:
    """Positions of the next step from those that one of so many processes holds of this one."""
    return lambda positions: [place + processes * len(positions) for place in positions]


class FramesAhead(Frames):
    """Frames of prepared clips, decoded a step before they are asked for by position.

    Args:
        processes: That share the positions of a step.
    """

    def __init__(self, clips: Clips, seed: int = 0, processes: int = 1):
        super().__init__(clips, seed)
        self._ahead = Ahead(super().at, _of_next_step(processes))

    def at(self, positions: Sequence[int]) -> Image:
        """Pictures at these positions, in [-1, 1]."""
        return self._ahead(list(positions))


class RenderedAhead(RenderedFrames):
    """Pictures of the endless world, rendered a step before they are asked for.

    Args:
        processes: As for `FramesAhead`.
    """

    def __init__(self, world: FaceWorld, processes: int = 1):
        super().__init__(world)
        self._ahead = Ahead(super().at, _of_next_step(processes))

    def at(self, positions: Sequence[int]) -> Image:
        """Pictures at these positions, in [-1, 1]."""
        return self._ahead(list(positions))
