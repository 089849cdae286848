"""From a function of points to C++: the graph that torch traces, written out as scalar code.

The field and the paint of a face are elementwise: what happens at one point needs that point and
the measures of one person only. So the function is traced for one person and one point; every
tensor is then a small array of numbers, reshaping costs nothing, and each arithmetic step becomes
one line of C++. Lines that depend on the person alone are run once per person, outside the loop
over points. torch.compile takes minutes for these thousand-step functions, a C++ compiler seconds.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

PRELUDE = """
#include <cmath>
namespace {
inline float bits_to_float(int i) { return __builtin_bit_cast(float, i); }
inline int float_to_bits(float f) { return __builtin_bit_cast(int, f); }
inline float lower(float a, float b) { return b < a ? b : a; }
inline float upper(float a, float b) { return a < b ? b : a; }
inline float sign(float a) { return float(a > 0.0f) - float(a < 0.0f); }
inline float fast_exp2(float x) {
  x = upper(lower(x, 126.0f), -126.0f);
  const float whole = std::floor(x), t = x - whole;
  const float p = 1.0f + t * (0.69314696f + t * (0.24022651f + t * (0.05550411f +
      t * (0.00961813f + t * (0.00133336f + t * 0.00015469f)))));
  return p * bits_to_float((int(whole) + 127) << 23);
}
inline float fast_log2(float x) {
  const int i = float_to_bits(x);
  const float m = bits_to_float((i & 0x007fffff) | 0x3f800000), t = (m - 1.0f) / (m + 1.0f);
  const float s = t * t;
  const float p = t * (2.8853901f + s * (0.96179669f + s * (0.57707802f +
      s * (0.41219859f + s * 0.3205989f))));
  return float((i >> 23) - 127) + p;
}
inline float fast_atan(float z) {  // |z| <= 1
  const float s = z * z;
  return z * (0.99999934f + s * (-0.33329856f + s * (0.19946536f + s * (-0.13908534f +
      s * (0.09642004f + s * (-0.05590986f + s * (0.02186123f - s * 0.00405407f)))))));
}
inline float fast_atan2(float y, float x) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  const float a = fast_atan(lower(ax, ay) / upper(upper(ax, ay), 1e-30f));
  const float b = ay > ax ? 1.57079633f - a : a, c = x < 0.0f ? 3.14159265f - b : b;
  return y < 0.0f ? -c : c;
}
inline float fast_acos(float x) {
  return fast_atan2(std::sqrt(upper(1.0f - x * x, 0.0f)), x);
}
}
"""

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


class Program:
    """Lines of C++ in two places: before the loop over points, and in it."""

    def __init__(self):
        self.before: list[str] = []
        self.inside: list[str] = []
        self._known: dict[str, Name] = {}

    def line(self, pattern: str, *operands: object) -> Name:
        """The number that an expression of others has; equal expressions share one line."""
        expression = pattern.format(*(_text(o) for o in operands))
        if expression not in self._known:
            varying = any(isinstance(o, Name) and o.varying for o in operands)
            name = Name(f"{'v' if varying else 'u'}{len(self._known)}", varying)
            lines = self.inside if varying else self.before
            lines.append(f"const float {name.text} = {expression};")
            self._known[expression] = name
        return self._known[expression]


def _text(operand: object) -> str:
    if isinstance(operand, Name):
        return operand.text
    return f"{np.float32(operand):.9e}f".replace("infef", "INFINITY")


def lower(
    function: Callable, uniform: list[tuple[int, ...]], points: int
) -> tuple[str, list[tuple[int, ...]], bool]:
    """C++ of `function(*uniform, *points)`, the leading shapes of its results, and if it has one.

    Args:
        function: Takes tensors (numbers..., batch, 1) of what is the same at all points of a
            person, then tensors (batch, n); returns one or more (..., batch, n).
        uniform: Leading shapes of the first kind.
        points: How many of the second kind.
    """
    examples = [torch.full((*shape, 1, 1), 0.5) for shape in uniform]
    examples += [torch.full((1, 1), 0.3 + 0.1 * i) for i in range(points)]
    graph = make_fx(function)(*examples)
    program, values, arguments = Program(), {}, []
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            arguments.append(node)
            values[node] = _argument(program, len(arguments) - 1, len(uniform), node)
        elif node.op == "get_attr":
            values[node] = getattr(graph, node.target).numpy().astype(object)
        elif node.op == "call_function":
            values[node] = _step(program, node, values)
        else:
            single = isinstance(node.args[0], Node)
            results = [values[result] for result in (node.args if single else node.args[0])]
    return _source(program, results), [result.shape[:-2] for result in results], single


def _argument(program: Program, place: int, uniform: int, node: Node) -> np.ndarray:
    shape = node.meta["val"].shape
    if place >= uniform:
        name = Name(f"p{place - uniform}", True)
        program.inside.append(f"const float {name.text} = points[{place - uniform}][i];")
        return _filled(shape, [name])
    names = []
    for k in range(shape.numel()):
        name = Name(f"m{place}_{k}", False)
        program.before.append(f"const float {name.text} = person[{place}][{k} * stride];")
        names.append(name)
    return _filled(shape, names)


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


def _step(program: Program, node: Node, values: dict) -> np.ndarray | list[np.ndarray]:
    """What one step of the traced graph computes."""
    schema = getattr(node.target, "_schema", None)
    op = schema.name.removeprefix("aten::") if schema else node.target.__name__
    get = lambda x: values[x] if isinstance(x, Node) else x
    args = [[get(x) for x in a] if isinstance(a, list | tuple) else get(a) for a in node.args]
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
    return _rearranged(op, args, node)


def _rearranged(op: str, args: list, node: Node) -> object:
    """Steps that move numbers without changing them."""
    shape = tuple(node.meta["val"].shape) if hasattr(node.meta["val"], "shape") else ()
    if op == "unbind":
        return [np.take(args[0], i, axis=0) for i in range(len(args[0]))]
    if op == "getitem":
        return args[0][args[1]]
    if op == "select":
        return np.asarray(np.take(args[0], args[2], axis=args[1]), dtype=object)
    if op in ("stack", "cat"):
        join = np.stack if op == "stack" else np.concatenate
        return join(args[0], axis=args[1] if len(args) > 1 else 0)
    if op in ("view", "reshape", "unsqueeze", "squeeze", "_unsafe_view"):
        return args[0].reshape(shape)
    if op == "expand":
        return np.broadcast_to(args[0], shape)
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


def _source(program: Program, results: list[np.ndarray]) -> str:
    outputs = [item for result in results for item in result.flat]
    stores = [f"out[{k}][i] = {_text(item)};" for k, item in enumerate(outputs)]
    return "\n".join([
        PRELUDE,
        'extern "C" void kernel(const float* const* person, long stride,',
        "    const float* const* points, float* const* out, long count) {",
        *program.before,
        "#pragma GCC ivdep",
        "for (long i = 0; i < count; ++i) {",
        *program.inside,
        *stores,
        "}",
        "}",
        "",
    ])  # fmt: skip
