"""Lowered functions as lines of NumPy calls, each with a place for its result."""

from dataclasses import dataclass

from xfer.faceworld.lowering import Line, Lowered, Name, text

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


@dataclass(frozen=True)
class Plan:
    """A lowered function as Python, with all that running it needs."""

    code: str
    """Functions `before(people)` and `inside(measures, slots, points, out)`."""
    slots: int
    """Arrays that the second needs for what it has not finished."""
    shapes: list[tuple[int, ...]]
    single: bool


def plan(lowered: Lowered) -> Plan:
    """Python code for a lowered function."""
    inside = _Inside(lowered)
    code = [f"{name} = array({value}, float32)" for name, value in _constants(lowered).items()]
    code += ["def before(people):", *_before(lowered), f"    return {_tuple(inside.measures)}"]
    code += ["def inside(measures, slots, points, out):", *inside.lines]
    return Plan("\n".join(code), inside.slots, lowered.shapes, lowered.single)


def _before(lowered: Lowered) -> list[str]:
    """What depends on the people alone."""
    lines = [f"    {name} = people[{i}][{k}]" for name, i, k in lowered.measures]
    for line in lowered.program.before:
        lines.append(f"    {line.name.text} = empty_like(people[0][0])")
        lines.append(_call(line, [_operand(o) for o in line.operands], line.name.text))
    return lines


class _Inside:
    """What differs from point to point, in as few arrays as can be."""

    def __init__(self, lowered: Lowered):
        lines, outputs = lowered.program.inside, lowered.outputs
        used = [o for line in lines for o in line.operands] + outputs
        self.measures = sorted({o.text for o in used if isinstance(o, Name) and not o.varying})
        self.slots = 0
        self._free: list[str] = []
        self._place: dict[str, str] = {}
        """Where the numbers lie that are still needed."""
        self._last = {o: i for i, line in enumerate(lines) for o in line.operands}
        self._outputs: dict[str, list[int]] = {}
        for k, item in enumerate(outputs):
            self._outputs.setdefault(_operand(item), []).append(k)
        made = {line.name.text for line in lines}
        body = [s for name in self._outputs if name not in made for s in self._stores(name, name)]
        for i, line in enumerate(lines):
            body += self._lines(i, line)
        slots = [f"s{k}" for k in range(self.slots)]
        taken = {"points": lowered.points, "measures": self.measures, "slots": slots}
        self.lines = [f"    {_tuple(names)} = {source}" for source, names in taken.items()] + body

    def _lines(self, i: int, line: Line) -> list[str]:
        """The call of a line, and the results that it completes."""
        operands = [self._place.get(_operand(o), _operand(o)) for o in line.operands]
        ending = [
            self._place.pop(o.text)
            for o in dict.fromkeys(line.operands)
            if isinstance(o, Name) and o.text in self._place and self._last[o] == i
        ]
        # All calls but a choice may write over what they read.
        choice = _CALLS[line.pattern].startswith("choose")
        self._free += [] if choice else ending
        out = self._free.pop() if self._free else self._new_slot()
        self._free += ending if choice else []
        if line.name in self._last:
            self._place[line.name.text] = out
        else:
            self._free.append(out)
        return [_call(line, operands, out), *self._stores(line.name.text, out)]

    def _new_slot(self) -> str:
        self.slots += 1
        return f"s{self.slots - 1}"

    def _stores(self, name: str, place: str) -> list[str]:
        return [f"    out[{k}][:] = {place}" for k in self._outputs.get(name, ())]


def _call(line: Line, operands: list[str], out: str) -> str:
    return "    " + _CALLS[line.pattern].format(*operands, out=out)


def _operand(operand: object) -> str:
    """How a line calls a name or a number."""
    if isinstance(operand, Name):
        return operand.text
    return "c" + "".join(c if c.isalnum() else "_m"[c == "-"] for c in _value(operand))


def _value(number: object) -> str:
    return text(number).rstrip("f").replace("INFINITY", "inf")


def _constants(lowered: Lowered) -> dict[str, str]:
    """Arrays of one number, which NumPy takes faster than numbers."""
    lines = lowered.program.before + lowered.program.inside
    operands = [o for line in lines for o in line.operands] + lowered.outputs
    return {_operand(o): _value(o) for o in operands if not isinstance(o, Name)}


def _tuple(names: list[str]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"
