"""Pickles read as data: a machine of our own that calls nothing a file names.

Python's unpickler imports and calls whatever a pickle asks for. Ours walks the opcodes and keeps
names as names; a name on the list below stands for a small function of ours that builds plain
data, any other name ends the reading. No class of the file is made, no source in it is looked at.
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from types import NoneType
from typing import Any

from xfer.errors import BadFile

MAX_STEPS = 200_000
"""Opcodes of one pickle; the largest public files have some fifty thousand."""


class Name(str):
    """A global that a pickle mentions, as "module.name". Never imported."""


Builders = Mapping[str, Callable[..., Any]]
"""What stands for an allowed name when the pickle calls it."""


def read_pickle(
    stream: BufferedIOBase,
    allowed: Builders,
    storage: Callable[[Any], Any] | None = None,
) -> Any:
    """Value of one pickle; the stream is left behind it.

    Args:
        allowed: What stands for every name that the pickle may mention.
        storage: Turns a persistent id into a value; None refuses them.
    """
    return _Machine(allowed, storage).run(stream)


class _Machine:
    """Stack, memo, and one method or table entry for every opcode."""

    def __init__(self, allowed: Builders, storage: Callable[[Any], Any] | None):
        self.allowed, self.storage = allowed, storage
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under every open mark
        self.memo: dict[int, Any] = {}

    def run(self, stream: BufferedIOBase) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step > MAX_STEPS:
                raise BadFile(f"a pickle of more than {MAX_STEPS} steps")
            name = opcode.name
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _METHODS:
                _METHODS[name](self, argument)
            elif name == "STOP":
                return self.stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise BadFile(f"the pickle uses {name}, which no checkpoint needs")
        raise BadFile("the pickle has no end")

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def group(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def take(self, count: int) -> list[Any]:
        """The topmost values, lowest first."""
        if len(self.stack) < count:
            raise BadFile("the pickle takes more values than it made")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def name(self, name: str) -> None:
        if name not in self.allowed:
            raise BadFile(f"the file asks for {name[:80]!r}, which no checkpoint needs: refused")
        self.stack.append(Name(name))

    def call(self, callee: Any, arguments: Any, named: Any = None) -> None:
        if not isinstance(callee, Name) or not isinstance(arguments, tuple):
            raise BadFile("the pickle calls something that is no name on our list: refused")
        try:
            self.stack.append(self.allowed[callee](*arguments, **(named or {})))
        except TypeError as error:
            raise BadFile(f"the pickle calls {callee} in an unknown way: refused") from error

    def build(self) -> None:
        target, state = self.take(2)
        if hasattr(type(target), "restore"):
            target.restore(state)
        elif not isinstance(target, dict):
            raise BadFile(f"the pickle sets the state of a {type(target).__name__}: refused")
        self.stack.append(target)  # attributes of dictionaries (_metadata) do not matter

    def fill(self, kind: type, values: Any) -> None:
        """Add to the list, dictionary or set on top of the stack."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise BadFile(f"the pickle fills something that is no {kind.__name__}: refused")
        self.stack[-1].extend(values) if kind is list else self.stack[-1].update(values)

    def persistent(self) -> None:
        if self.storage is None:
            raise BadFile("the pickle refers to data outside itself: refused")
        self.stack.append(self.storage(self.stack.pop()))

    def push(self, value: Any) -> None:
        self.stack.append(value)


def as_dict(values: list[Any]) -> dict[Any, Any]:
    """Key, value, key, value, ... as a dictionary."""
    return dict(zip(_keys(values[::2]), values[1::2], strict=True))


def _keys(values: list[Any]) -> list[Any]:
    """Only flat keys: hashing a deep one would overflow the interpreter's stack."""
    for value in values:
        if not isinstance(value, str | bytes | int | float | NoneType):
            raise BadFile(f"the pickle has a {type(value).__name__} as a key: refused")
    return values


_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip

_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}

_METHODS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.group(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "LIST": lambda m, _: m.push(m.group()),
    "TUPLE": lambda m, _: m.push(tuple(m.group())),
    "TUPLE1": lambda m, _: m.stack.append((m.stack.pop(),)),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "DICT": lambda m, _: m.push(as_dict(m.group())),
    "FROZENSET": lambda m, _: m.push(frozenset(_keys(m.group()))),
    "APPEND": lambda m, _: m.fill(list, [m.stack.pop()]),
    "APPENDS": lambda m, _: m.fill(list, m.group()),
    "SETITEM": lambda m, _: m.fill(dict, as_dict(m.take(2))),
    "SETITEMS": lambda m, _: m.fill(dict, as_dict(m.group())),
    "ADDITEMS": lambda m, _: m.fill(set, _keys(m.group())),
    "PUT": lambda m, slot: m.memo.update({slot: m.stack[-1]}),
    "BINPUT": lambda m, slot: m.memo.update({slot: m.stack[-1]}),
    "LONG_BINPUT": lambda m, slot: m.memo.update({slot: m.stack[-1]}),
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "GET": lambda m, slot: m.stack.append(m.memo[slot]),
    "BINGET": lambda m, slot: m.stack.append(m.memo[slot]),
    "LONG_BINGET": lambda m, slot: m.stack.append(m.memo[slot]),
    "GLOBAL": lambda m, name: m.name(name.replace(" ", ".")),
    "STACK_GLOBAL": lambda m, _: m.name(".".join(map(str, m.take(2)))),
    "REDUCE": lambda m, _: m.call(*m.take(2)),
    "NEWOBJ": lambda m, _: m.call(*m.take(2)),
    "NEWOBJ_EX": lambda m, _: m.call(*m.take(3)),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.persistent(),
}
