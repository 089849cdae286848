"""Batch after batch of any source, read ahead, resumable to the very picture."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from xfer.datasets.sources import Source
from xfer.errors import BadValue, expect


class Batches:
    """The endless batches of a source.

    Args:
        source: Frames or pairs, prepared or rendered.
        batch: Items of this process in one batch.
        workers: Threads that read ahead; 0 reads when asked. Decoding and rendering let other
            threads run, so threads serve as well as processes and share the open shards.
        rank, ranks: Which of how many processes this is; together they go through the order once.
    """

    def __init__(self, source: Source, batch: int, workers: int = 0, rank: int = 0, ranks: int = 1):
        expect(batch >= 1, f"a batch holds at least one item; got {batch}")
        expect(workers >= 0, f"workers are 0 or more; got {workers}")
        expect(0 <= rank < ranks, f"a rank is from 0 to ranks - 1; got {rank} of {ranks}")
        self.source, self.batch, self.rank, self.ranks = source, batch, rank, ranks
        self._step = self._ahead = 0
        self._pool = ThreadPoolExecutor(workers, "batches") if workers else None
        self._room = 2 * workers
        self._waiting: deque[Future] = deque()

    def positions(self, step: int) -> list[int]:
        """Positions that this process gives at a step."""
        start = (step * self.ranks + self.rank) * self.batch
        return list(range(start, start + self.batch))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._pool is None:
            result = self.source.at(self.positions(self._step))
        else:
            while len(self._waiting) <= self._room:
                self._waiting.append(self._pool.submit(self.source.at, self.positions(self._ahead)))
                self._ahead += 1
            result = self._waiting.popleft().result()
        self._step += 1
        return result

    def state_dict(self) -> dict[str, int]:
        """Where the next batch begins, for all processes alike."""
        return {"position": self._step * self.batch * self.ranks}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another run, perhaps of other batch size, stopped."""
        position, whole = state["position"], self.batch * self.ranks
        if position % whole:
            raise BadValue(
                f"position {position} is not the start of a batch of {whole} items "
                f"({self.ranks} x {self.batch}); choose a batch that divides it"
            )
        self._drop()
        self._step = self._ahead = position // whole

    def _drop(self) -> None:
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def close(self) -> None:
        """Stop reading ahead."""
        self._drop()
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
