"""Run lowered functions without a compiler: straight lines of NumPy calls.

PyTorch spends two or three microseconds on every small operation, NumPy a third of one when it is
told where to put the result. So each line of a lowered function becomes one call on a block of
points that fits the processor's cache, into memory that a number no longer needed has left. The
calls are those that the plain function makes of PyTorch: only roots may differ, in their last bit.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from xfer.faceworld.keeping import kept
from xfer.faceworld.lowering import lower
from xfer.faceworld.numpy_lines import Plan, plan

BLOCK = 32768
"""Points of all people that are worked on at a time."""


def _choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, np.where(condition, yes, no))


def _by_torch(name: str, *arrays: np.ndarray, out: np.ndarray) -> None:
    """Functions for which NumPy and PyTorch use different approximations."""
    getattr(torch, name)(*map(torch.from_numpy, arrays), out=torch.from_numpy(out))


_HELPERS = {"choose": _choose, "by_torch": _by_torch, "half": np.float32(0.5)}


class Straight:
    """A function of points, run line by line; what was traced is kept on disk.

    Args:
        function, uniform, points: As for `lowering.lower`.
    """

    def __init__(self, function: Callable, uniform: list[tuple[int, ...]], points: int):
        self.uniform = len(uniform)
        self.plan = _kept_plan(function.__name__, lambda: plan(lower(function, uniform, points)))
        space = vars(np) | _HELPERS
        exec(compile(self.plan.code, f"<{function.__name__}>", "exec"), space)
        self._before, self._inside = space["before"], space["inside"]
        self._scratch = threading.local()

    def __call__(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the function gives, at all points; each result (..., batch, n)."""
        people = [t.numpy().reshape(-1, *t.shape[-2:]) for t in tensors[: self.uniform]]
        points = [t.numpy() for t in tensors[self.uniform :]]
        batch, count = points[0].shape
        results = [np.empty((*shape, batch, count), np.float32) for shape in self.plan.shapes]
        sheets = [sheet for r in results for sheet in r.reshape(-1, batch, count)]
        measures, width = self._before(people), max(1, BLOCK // batch)
        for start in range(0, count, width):
            part = slice(start, min(start + width, count))
            given = [np.ascontiguousarray(p[:, part]) for p in points]
            slots = self._slots(*given[0].shape)
            with np.errstate(all="ignore"):  # far beyond everything numbers overflow, as in torch
                self._inside(measures, slots, given, [sheet[:, part] for sheet in sheets])
        found = tuple(map(torch.from_numpy, results))
        return found[0] if self.plan.single else found

    def _slots(self, batch: int, width: int) -> list[np.ndarray]:
        """This thread's memory for unfinished numbers; taking it anew would cost page faults."""
        needed = self.plan.slots * batch * width
        if getattr(self._scratch, "memory", np.empty(0)).size < needed:
            self._scratch.memory = np.empty(needed, np.float32)
        return list(self._scratch.memory[:needed].reshape(self.plan.slots, batch, width))


def _kept_plan(name: str, make: Callable[[], Plan]) -> Plan:
    path = kept(name, "straight", np.__version__).with_suffix(".plan.json")
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads(path.read_text())
        return Plan(**facts | {"shapes": [tuple(shape) for shape in facts["shapes"]]})
    made = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.json")
        unfinished.write_text(json.dumps(asdict(made)))
        unfinished.replace(path)
    return made
