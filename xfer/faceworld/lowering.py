"""From a function of points to scalar steps: what it does to tensors, written out.

The field and the paint of a face are elementwise: what happens at one point needs that point and
the measures of one person only. So the function is watched for one person and one point; every
tensor is then a small array of numbers, reshaping costs nothing, and each arithmetic step becomes
one line, written in C++ by `cpp` and as a call of NumPy by `numpy_lines`. Lines that depend on the
person alone are run once per person, outside the loop over points. torch.compile takes minutes for
these thousand-step functions, a C++ compiler seconds.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_BINARY = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "minimum": "lower({0}, {1})", "maximum": "upper({0}, {1})",
    "clamp_min": "upper({0}, {1})", "clamp_max": "lower({0}, {1})",
    "rsub": "{1} - {0}", "atan2": "fast_atan2({0}, {1})",
}  # fmt: skip
# Truth is 1.0f or 0.0f: compilers vectorise loops over one type more readily.
_LOGIC = {
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
_BINARY |= {op: f"{{0}} {sign} {{1}} ? 1.0f : 0.0f" for op, sign in _LOGIC.items()}
_BINARY |= dict.fromkeys(("bitwise_and", "logical_and"), "{0} * {1}")
_BINARY |= dict.fromkeys(("bitwise_or", "logical_or"), "upper({0}, {1})")
_UNARY = {
    "abs": "std::fabs({0})", "neg": "-{0}", "sqrt": "std::sqrt({0})", "floor": "std::floor({0})",
    "rsqrt": "1.0f / std::sqrt({0})", "reciprocal": "1.0f / {0}", "sign": "sign({0})",
    "exp2": "fast_exp2({0})", "log2": "fast_log2({0})", "acos": "fast_acos({0})",
}  # fmt: skip
_SAME = {"_to_copy", "clone", "detach", "alias", "lift_fresh_copy", "lift_fresh", "contiguous"}


class Name(NamedTuple):
    """A number of the program that is not known before it runs."""

    text: str
    varying: bool
    """It differs from point to point."""


def text(operand: object) -> str:
    """A name, or a number as C++ writes it."""
    if isinstance(operand, Name):
        return operand.text
    return f"{np.float32(operand):.9e}f".replace("infef", "INFINITY")


class Line(NamedTuple):
    """A number of the program and how it follows from others."""

    name: Name
    pattern: str
    """The expression in C++, with places for the operands."""
    operands: tuple[object, ...]
    """Names, and numbers known beforehand."""

    @property
    def text(self) -> str:
        return self.pattern.format(*map(text, self.operands))


class Program:
    """Lines in two places: before the loop over points, and in it."""

    def __init__(self):
        self.before: list[Line] = []
        self.inside: list[Line] = []
        self._known: dict[str, Name] = {}

    def line(self, pattern: str, *operands: object) -> Name:
        """The number that an expression of others has; equal expressions share one line."""
        expression = pattern.format(*(text(o) for o in operands))
        if expression not in self._known:
            varying = any(isinstance(o, Name) and o.varying for o in operands)
            name = Name(f"{'v' if varying else 'u'}{len(self._known)}", varying)
            (self.inside if varying else self.before).append(Line(name, pattern, operands))
            self._known[expression] = name
        return self._known[expression]


class Lowered(NamedTuple):
    """A function of points as scalar steps."""

    measures: list[tuple[str, int, int]]
    """Names of the numbers of a person: argument and place in it."""
    points: list[str]
    """Names of the numbers of a point."""
    program: Program
    results: list[np.ndarray]
    """Names or numbers, (..., 1, 1) for each result of the function."""
    single: bool
    """The function gives one tensor, not a tuple of them."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Leading shapes of the results."""
        return [result.shape[:-2] for result in self.results]

    @property
    def outputs(self) -> list[object]:
        """Names or numbers of all results, one after another."""
        return [item for result in self.results for item in result.flat]


def lower(function: Callable, uniform: list[tuple[int, ...]], points: int) -> Lowered:
    """`function(*uniform, *points)` for one person and one point.

    Args:
        function: Takes tensors (numbers..., batch, 1) of what is the same at all points of a
            person, then tensors (batch, n); returns one or more (..., batch, n).
        uniform: Leading shapes of the first kind.
        points: How many of the second kind.
    """
    examples = [torch.full((*shape, 1, 1), 0.5) for shape in uniform]
    examples += [torch.full((1, 1), 0.3 + 0.1 * i) for i in range(points)]
    measures = [
        (f"m{i}_{k}", i, k) for i, shape in enumerate(uniform) for k in range(math.prod(shape))
    ]
    names = [[Name(name, False) for name, i, _ in measures if i == k] for k in range(len(uniform))]
    names += [[Name(f"p{i}", True)] for i in range(points)]
    tracer = _Tracer()
    for example, own in zip(examples, names, strict=True):
        tracer.remember(example, _filled(example.shape, own))
    with torch.no_grad(), tracer:
        found = function(*examples)
    single = isinstance(found, Tensor)
    results = [tracer.value(result) for result in ([found] if single else found)]
    return Lowered(measures, [f"p{i}" for i in range(points)], tracer.program, results, single)


class _Tracer(TorchDispatchMode):
    """Writes down what is done to tensors while it is done, number by number."""

    def __init__(self) -> None:
        super().__init__()
        self.program = Program()
        self._known: dict[int, tuple[Tensor, np.ndarray]] = {}

    def remember(self, tensor: Tensor, value: np.ndarray) -> None:
        self._known[id(tensor)] = tensor, value  # an id is one's own as long as one lives

    def value(self, operand: object) -> object:
        """Names and numbers in place of tensors; those never met are constants."""
        if isinstance(operand, list | tuple):
            return [self.value(item) for item in operand]
        if not isinstance(operand, Tensor):
            return operand
        known = self._known.get(id(operand))
        return operand.numpy().astype(object) if known is None else known[1]

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        name = operation._schema.name.removeprefix("aten::")
        value = _step(self.program, name, self.value(args), result)
        if isinstance(result, Tensor):
            self.remember(result, value)
        else:
            for tensor, part in zip(result, value, strict=True):
                self.remember(tensor, part)
        return result


def _filled(shape: tuple[int, ...], items: list) -> np.ndarray:
    """An array of objects; numpy would unpack named tuples by itself."""
    flat = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        flat[i] = item
    return flat.reshape(shape)


def _elementwise(function: Callable, *operands: object) -> np.ndarray:
    arrays = [o if isinstance(o, np.ndarray) else _filled((), [o]) for o in operands]
    arrays = np.broadcast_arrays(*arrays)
    items = [function(*items) for items in zip(*(a.flat for a in arrays), strict=True)]
    return _filled(arrays[0].shape, items)


def _step(program: Program, op: str, args: list, result: object) -> np.ndarray | list[np.ndarray]:
    """What one operation computes; `result` is what it gave for the examples."""
    if op in _SAME:
        return args[0]
    if op in _BINARY:
        return _elementwise(lambda a, b: program.line(_BINARY[op], a, b), *args[:2])
    if op in _UNARY:
        return _elementwise(lambda a: program.line(_UNARY[op], a), args[0])
    if op == "where":
        return _elementwise(lambda c, a, b: program.line("{0} > 0.5f ? {1} : {2}", c, a, b), *args)
    if op == "clamp":
        low, high = [*args[1:], None, None][:2]
        return _elementwise(lambda a: _clamped(program, a, low, high), args[0])
    if op == "pow":
        return _elementwise(lambda a: _power(program, a, args[1]), args[0])
    if op == "argmin":
        return _argmin(program, args[0])
    if op == "scalar_tensor":
        return _filled((), [args[0]])
    if op in ("ones_like", "zeros_like", "full_like"):
        value = args[1] if op == "full_like" else float(op == "ones_like")
        return _filled(args[0].shape, [value] * args[0].size)
    return _rearranged(op, args, result)


def _rearranged(op: str, args: list, result: object) -> np.ndarray | list[np.ndarray]:
    """Operations that move numbers without changing them."""
    if op == "unbind":
        return [np.take(args[0], i, axis=0) for i in range(len(args[0]))]
    if op == "select":
        return np.asarray(np.take(args[0], args[2], axis=args[1]), dtype=object)
    if op in ("stack", "cat"):
        join = np.stack if op == "stack" else np.concatenate
        return join(args[0], axis=args[1] if len(args) > 1 else 0)
    if op in ("view", "reshape", "unsqueeze", "squeeze", "_unsafe_view"):
        return args[0].reshape(result.shape)
    if op == "expand":
        return np.broadcast_to(args[0], result.shape)
    raise NotImplementedError(f"a face's field may not use {op}")


def _clamped(program: Program, a: object, low: float | None, high: float | None) -> object:
    a = a if low is None else program.line("upper({0}, {1})", a, low)
    return a if high is None else program.line("lower({0}, {1})", a, high)


def _power(program: Program, a: object, exponent: float) -> object:
    """Whole powers only."""
    result = a
    for _ in range(int(exponent) - 1):
        result = program.line("{0} * {1}", result, a)
    return result


def _argmin(program: Program, stacked: np.ndarray) -> np.ndarray:
    """Along the first axis, the first of equals."""

    def first_smallest(*items: object) -> object:
        best, place = items[0], 0.0
        for i, item in enumerate(items[1:], start=1):
            place = program.line("{0} < {1} ? {2} : {3}", item, best, float(i), place)
            best = program.line("lower({0}, {1})", best, item)
        return place

    return _elementwise(first_smallest, *stacked)
