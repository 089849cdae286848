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
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from xfer.faceworld.keeping import kept
from xfer.faceworld.lowering import Line, Lowered, Name, lower, text

BLOCK = 32768
"""Points of all people that are worked on at a time."""

_CALLS = {
    "{0} + {1}": "add({0}, {1}, out={out})",
    "{0} - {1}": "subtract({0}, {1}, out={out})",
    "{1} - {0}": "subtract({1}, {0}, out={out})",
    "{0} * {1}": "multiply({0}, {1}, out={out})",
    "{0} / {1}": "divide({0}, {1}, out={out})",
    "lower({0}, {1})": "minimum({0}, {1}, out={out})",
    "upper({0}, {1})": "maximum({0}, {1}, out={out})",
    "std::fabs({0})": "absolute({0}, out={out})",
    "-{0}": "negative({0}, out={out})",
    "std::sqrt({0})": "sqrt({0}, out={out})",
    "std::floor({0})": "floor({0}, out={out})",
    "1.0f / std::sqrt({0})": "reciprocal(sqrt({0}, out={out}), out={out})",
    "1.0f / {0}": "reciprocal({0}, out={out})",
    "sign({0})": "sign({0}, out={out})",
    "fast_exp2({0})": "by_torch('exp2', {0}, out={out})",
    "fast_log2({0})": "by_torch('log2', {0}, out={out})",
    "fast_acos({0})": "by_torch('acos', {0}, out={out})",
    "fast_atan2({0}, {1})": "by_torch('atan2', {0}, {1}, out={out})",
    "{0} > 0.5f ? {1} : {2}": "choose(greater({0}, half), {1}, {2}, out={out})",
    "{0} < {1} ? {2} : {3}": "choose(less({0}, {1}), {2}, {3}, out={out})",
    "{0} < {1} ? 1.0f : 0.0f": "less({0}, {1}, out={out})",
    "{0} <= {1} ? 1.0f : 0.0f": "less_equal({0}, {1}, out={out})",
    "{0} > {1} ? 1.0f : 0.0f": "greater({0}, {1}, out={out})",
    "{0} >= {1} ? 1.0f : 0.0f": "greater_equal({0}, {1}, out={out})",
    "{0} == {1} ? 1.0f : 0.0f": "equal({0}, {1}, out={out})",
    "{0} != {1} ? 1.0f : 0.0f": "not_equal({0}, {1}, out={out})",
}
"""Expressions of lowered programs as calls."""


def _choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, np.where(condition, yes, no))


def _by_torch(name: str, *arrays: np.ndarray, out: np.ndarray) -> None:
    """Functions for which NumPy and PyTorch use different approximations."""
    getattr(torch, name)(*map(torch.from_numpy, arrays), out=torch.from_numpy(out))


_HELPERS = {"choose": _choose, "by_torch": _by_torch, "half": np.float32(0.5)}


@dataclass(frozen=True)
class Plan:
    """A lowered function as Python, with all that running it needs."""

    code: str
    """Functions `before(people)` and `inside(measures, slots, points, out)`."""
    slots: int
    """Arrays that the second needs for what it has not finished."""
    shapes: list[tuple[int, ...]]
    single: bool


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


def plan(lowered: Lowered) -> Plan:
    """Python code for a lowered function."""
    before, inside = _Before(lowered), _Inside(lowered)
    constants = dict.fromkeys(before.constants + inside.constants)
    code = [f"{name} = array({value}, float32)" for name, value in constants]
    code += ["def before(people):", *before.lines, f"    return [{', '.join(inside.measures)}]"]
    code += ["def inside(measures, slots, points, out):", *inside.lines]
    return Plan("\n".join(code), inside.slots, lowered.shapes, lowered.single)


class _Writer:
    """Lines of one of the two functions."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: list[tuple[str, str]] = []

    def write(self, line: str) -> None:
        self.lines.append(f"    {line}")

    def operand(self, operand: object) -> str:
        """How a line calls a name or a number."""
        if isinstance(operand, Name):
            return operand.text
        value = text(operand).rstrip("f").replace("INFINITY", "inf")
        name = "c" + "".join(c if c.isalnum() else "_m"[c == "-"] for c in value)
        self.constants.append((name, value))
        return name

    def call(self, line: Line, out: str) -> None:
        self.write(_CALLS[line.pattern].format(*map(self.operand, line.operands), out=out))


class _Before(_Writer):
    """What depends on the people alone."""

    def __init__(self, lowered: Lowered):
        super().__init__()
        for name, argument, place in lowered.measures:
            self.write(f"{name} = people[{argument}][{place}]")
        for line in lowered.program.before:
            self.write(f"{line.name.text} = empty_like(people[0][0])")
            self.call(line, line.name.text)


class _Inside(_Writer):
    """What differs from point to point, in as few arrays as can be."""

    def __init__(self, lowered: Lowered):
        super().__init__()
        lines, self._stores = lowered.program.inside, {}
        for k, item in enumerate(lowered.outputs):
            self._stores.setdefault(self.operand(item), []).append(k)
        self._last = {self.operand(o): i for i, line in enumerate(lines) for o in line.operands}
        self._slot: dict[str, str] = {}
        self._free: list[str] = []
        self.slots = 0
        self.measures = sorted(
            {o.text for line in lines for o in line.operands if _is_measure(o)}
            | {o.text for o in lowered.outputs if _is_measure(o)}
        )
        self._take("points", lowered.points)
        self._take("measures", self.measures)
        body = len(self.lines)
        for name in lowered.points + [n for n in self._stores if n[0] in "mu" or n[0] == "c"]:
            self._store(name, name)
        for i, line in enumerate(lines):
            self._line(i, line)
        slots = [f"s{k}" for k in range(self.slots)]
        self.lines[body:body] = [f"    {', '.join(slots)}, = slots"] if slots else []

    def _take(self, source: str, names: list[str]) -> None:
        if names:
            self.write(f"{', '.join(names)}, = {source}")

    def operand(self, operand: object) -> str:
        name = super().operand(operand)
        return getattr(self, "_slot", {}).get(name, name)

    def _line(self, i: int, line: Line) -> None:
        names = dict.fromkeys(o.text for o in line.operands if isinstance(o, Name))
        ending = [n for n in names if n in self._slot and self._last[n] == i]
        operands = [self.operand(o) for o in line.operands]
        # A call may write over what it reads, as long as it is one pass over the numbers.
        in_place = "choose" not in _CALLS[line.pattern]
        if in_place:
            self._free += [self._slot.pop(n) for n in ending]
        if not self._free:
            self._free.append(f"s{self.slots}")
            self.slots += 1
        out = self._free.pop()
        self.write(_CALLS[line.pattern].format(*operands, out=out))
        if not in_place:
            self._free += [self._slot.pop(n) for n in ending]
        self._store(line.name.text, out)
        if line.name.text in self._last:
            self._slot[line.name.text] = out
        else:
            self._free.append(out)

    def _store(self, name: str, place: str) -> None:
        for k in self._stores.get(name, ()):
            self.write(f"out[{k}][:] = {place}")


def _is_measure(operand: object) -> bool:
    return isinstance(operand, Name) and not operand.varying
