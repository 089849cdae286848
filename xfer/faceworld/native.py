"""Compile lowered functions with the machine's C++ compiler and call them on tensors."""

import ctypes
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from xfer.errors import MissingPackage
from xfer.faceworld.cpp import source
from xfer.faceworld.keeping import kept
from xfer.faceworld.lowering import lower

TASK = 2048
"""Points that one thread takes at least."""
_ARCHITECTURE = {"AVX512": "-march=x86-64-v4", "AVX2": "-march=x86-64-v3"}
_WIDE = ("-mprefer-vector-width=512",)


def compiler() -> str | None:
    """The C++ compiler of this machine, if it has one."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


class Kernel:
    """A function of points, compiled; kept on disk for as long as this room's source is the same.

    Building starts at once and is waited for at the first call.

    Args:
        function, uniform, points: As for `lowering.lower`.
    """

    def __init__(self, function: Callable, uniform: list[tuple[int, ...]], points: int):
        self.uniform = len(uniform)
        self._command, self._lock = _command(), threading.Lock()
        self._library = kept(function.__name__, *self._command).with_suffix(".so")
        self._process, facts = None, self._library.with_suffix(".json")
        if self._library.exists() and facts.exists():
            shapes, self.single = json.loads(facts.read_text())
            self.shapes = [tuple(shape) for shape in shapes]
        else:
            lowered = lower(function, uniform, points)
            self.shapes, self.single = lowered.shapes, lowered.single
            self._process = _start_build(self._command, source(lowered), self._library)

    @property
    def _run(self) -> Callable:
        with self._lock:
            if self._process is not None:
                _finish_build(self._process, self._library, [self.shapes, self.single])
                self._process = None
        return _load(self._library)

    def __call__(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the function gives, at all points; each result (..., batch, n)."""
        people = [t.contiguous() for t in tensors[: self.uniform]]
        points = [t.contiguous() for t in tensors[self.uniform :]]
        batch, count = points[0].shape
        results = [torch.empty(*shape, batch, count) for shape in self.shapes]
        sheets = [s for r in results for s in r.view(-1, batch, count)]
        pieces = _pieces(batch, count)
        run = self._run

        def work(piece: tuple[int, int, int]) -> None:
            row, start, stop = piece
            run(
                _addresses([p.data_ptr() + 4 * row for p in people]),
                batch,
                _addresses([p.data_ptr() + 4 * (row * count + start) for p in points]),
                _addresses([s.data_ptr() + 4 * (row * count + start) for s in sheets]),
                stop - start,
            )

        if len(pieces) > 1 and torch.get_num_threads() > 1:
            list(_threads(os.getpid(), torch.get_num_threads()).map(work, pieces))
        else:
            for piece in pieces:
                work(piece)
        return results[0] if self.single else tuple(results)


def _pieces(batch: int, count: int) -> list[tuple[int, int, int]]:
    """Row, first and last point of every task. A point's result does not depend on its task."""
    width = max(count // 2, TASK) if batch == 1 else max(count, 1)
    return [
        (row, start, min(start + width, count))
        for row in range(batch)
        for start in range(0, count, width)
    ]


def _addresses(numbers: list[int]) -> ctypes.Array:
    return (ctypes.c_void_p * len(numbers))(*numbers)


@cache
def _threads(process: int, count: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not survive a fork."""
    return ThreadPoolExecutor(count)


def _command() -> list[str]:
    program = compiler()
    if program is None:
        raise MissingPackage("compiled rendering needs a C++ compiler (g++ or clang++); none found")
    flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-std=c++17"]
    architecture = _ARCHITECTURE.get(torch.backends.cpu.get_cpu_capability())
    return [program, *flags, *([architecture, *_WIDE] if architecture else [])]


def _unfinished(library: Path) -> Path:
    return library.with_suffix(f".{os.getpid()}.so")


def _start_build(command: list[str], code: str, library: Path) -> subprocess.Popen:
    library.parent.mkdir(parents=True, exist_ok=True)
    text = _unfinished(library).with_suffix(".cpp")
    text.write_text(code)
    return subprocess.Popen(
        [*command, str(text), "-o", str(_unfinished(library))], stderr=subprocess.PIPE
    )


def _finish_build(process: subprocess.Popen, library: Path, facts: list) -> None:
    _, complaint = process.communicate()
    unfinished = _unfinished(library)
    unfinished.with_suffix(".cpp").unlink()
    if process.returncode:
        raise MissingPackage(f"the C++ compiler failed: {complaint.decode()[-500:]}")
    facts_file = unfinished.with_suffix(".json")
    facts_file.write_text(json.dumps(facts))
    facts_file.replace(library.with_suffix(".json"))
    unfinished.replace(library)


@cache
def _load(path: Path) -> Callable:
    function = ctypes.CDLL(str(path)).kernel
    pointers = ctypes.POINTER(ctypes.c_void_p)
    function.argtypes = [pointers, ctypes.c_long, pointers, pointers, ctypes.c_long]
    function.restype = None
    return function
