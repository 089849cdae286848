"""Runs a launch of our kernels without a GPU, by interpreting the PTX that NVRTC makes of them.

All threads advance together as rows of numpy arrays; where they part, the one furthest behind in
the program goes first. Memory is that of the tensors themselves: an access outside of them, an
access that is not aligned, a write into an input and a second write to one place are errors.
Registers hold bits (uint64) and every instruction says how it reads them.
"""

import ctypes
import functools
import re
from typing import NamedTuple

import numpy as np
from cuda.bindings import nvrtc
from torch import Tensor

from xfer.ops.build import THREADS, Launch, read_source

NUMPY = {"f16": "f2", "f32": "f4", "f64": "f8"} | {
    f"{kind}{bits}": f"{'i' if kind == 's' else 'u'}{bits // 8}"
    for kind in "sub"
    for bits in (8, 16, 32, 64)
}

COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
"""A third letter, u, makes one true where either side is not a number."""


class Instruction(NamedTuple):
    guard: str | None
    name: str
    modifiers: list[str]
    operands: list[str]


class Program(NamedTuple):
    instructions: list[Instruction]
    labels: dict[str, int]


def emulate(launch: Launch, arch: str = "compute_80") -> bool:
    """Do to the tensors what the launch would do to them on a GPU; True, as a launch is."""
    program = assemble(launch.source, launch.kernel, arch)
    machine = Machine(launch)
    machine.run(program)
    assert machine.writes.min() == 1 == machine.writes.max(), "not every output was written once"
    return True


@functools.cache
def assemble(source: str, kernel: str, arch: str) -> Program:
    text, name = compile_to_ptx(source, kernel, arch)
    body = text[text.index(f".entry {name}(") :]
    body = body[body.index("\n{") + 2 : body.index("\n}")]
    body = re.sub(r"//[^\n]*", "", body)
    instructions, labels = [], {}
    for line in re.split(r"[;\n]", body):
        line = line.strip()
        if label := re.fullmatch(r"(\$\w+):", line):
            labels[label[1]] = len(instructions)
        elif line and line not in "{}" and not line.startswith("."):
            guard, opcode, rest = re.fullmatch(r"(?:@(!?%p\d+)\s+)?(\S+)\s*(.*)", line).groups()
            operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^\s,]+", rest)
            name, *modifiers = opcode.split(".")
            instructions.append(Instruction(guard, name, modifiers, operands))
    return Program(instructions, labels)


def compile_to_ptx(source: str, kernel: str, arch: str) -> tuple[str, str]:
    """The PTX and the kernel's name in it. `cuda.core` itself would ask for a driver here."""
    program = _checked(nvrtc.nvrtcCreateProgram(read_source(source).encode(), b"", 0, [], []))
    _checked(nvrtc.nvrtcAddNameExpression(program, kernel.encode()))
    options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17"]
    _checked(nvrtc.nvrtcCompileProgram(program, len(options), options))
    text = b" " * _checked(nvrtc.nvrtcGetPTXSize(program))
    _checked(nvrtc.nvrtcGetPTX(program, text))
    name = _checked(nvrtc.nvrtcGetLoweredName(program, kernel.encode())).decode()
    return text.decode().rstrip("\0"), name


def _checked(answer: tuple):
    assert answer[0] == nvrtc.nvrtcResult.NVRTC_SUCCESS, answer[0]
    return answer[1] if len(answer) > 1 else None


class Machine:
    """The state of all threads of one launch."""

    def __init__(self, launch: Launch):
        self.lanes = launch.blocks * THREADS
        lane = np.arange(self.lanes, dtype=np.uint64)
        self.registers = {
            "%tid.x": lane % THREADS,
            "%ctaid.x": lane // THREADS,
            "%ntid.x": np.full_like(lane, THREADS),
        }
        self.arguments = [
            np.array(a, "f8" if isinstance(a, float) else "i8").view("u8") for a in launch.arguments
        ]
        output = launch.tensors[-1]
        self.output = output.data_ptr()
        self.memory = {t.data_ptr(): _bytes(t) for t in launch.tensors if t is not None}
        self.writes = np.zeros(output.numel() * output.element_size(), int)

    def run(self, program: Program) -> None:
        at = np.zeros(self.lanes, int)
        end = len(program.instructions)
        with np.errstate(all="ignore"):
            while (now := at.min()) < end:
                who = np.flatnonzero(at == now)
                at[who] += 1
                guard, name, modifiers, operands = program.instructions[now]
                if guard:
                    holds = self.read(guard.lstrip("!"), "pred", who)
                    who = who[~holds if guard[0] == "!" else holds]
                if name == "bra":
                    at[who] = program.labels[operands[0]]
                elif name == "ret":
                    at[who] = end
                elif len(who):
                    self.step(name, modifiers, operands, who)

    def step(self, name: str, modifiers: list[str], operands: list[str], who: np.ndarray) -> None:
        kind = modifiers[-1]
        if name in ("ld", "st"):
            self.move(name, modifiers, operands, who)
        elif name == "cvt":
            value = _convert(self.read(operands[1], kind, who), modifiers)
            self.write(operands[0], value, who)
        elif name == "selp":
            *values, choice = operands[1:]
            yes, no = (self.read(v, kind, who) for v in values)
            self.write(operands[0], np.where(self.read(choice, "pred", who), yes, no), who)
        else:
            values = [self.read(v, kind, who) for v in operands[1:]]
            if name in ("shl", "shr"):
                values[1] = self.read(operands[2], "u32", who)
            elif "wide" in modifiers and name == "mad":
                values[2] = self.read(operands[3], f"{kind[0]}64", who)
            self.write(operands[0], _compute(name, modifiers, values), who)

    def read(self, operand: str, kind: str, who: np.ndarray) -> np.ndarray:
        """An operand as numbers of a type, one for each thread in `who`."""
        if operand[0] == "{":
            parts = [self.read(p, "b64", who) for p in re.findall(r"[^{},\s]+", operand)]
            width = int(kind[1:]) // len(parts)
            joined = sum(p << np.uint64(width * k) for k, p in enumerate(parts))
            return _as(joined, kind)
        if operand in self.registers:
            bits = self.registers[operand][who]
        else:
            bits = np.full(len(who), _literal(operand, kind), np.uint64)
        return bits.astype(bool) if kind == "pred" else _as(bits, kind)

    def write(self, operand: str, value: np.ndarray, who: np.ndarray) -> None:
        bits = value if value.dtype == bool else value.view(f"u{value.itemsize}")
        names = re.findall(r"[^{},\s]+", operand)
        width = 8 * value.itemsize // len(names)
        for k, name in enumerate(names):
            part = bits.astype(np.uint64)
            if len(names) > 1:
                part = part >> np.uint64(width * k) & np.uint64(2**width - 1)
            self.registers.setdefault(name, np.zeros(self.lanes, np.uint64))[who] = part

    def move(self, name: str, modifiers: list[str], operands: list[str], who: np.ndarray) -> None:
        place = next(o for o in operands if o[0] == "[")[1:-1]
        if modifiers[0] == "param":
            value = self.arguments[int(place.rsplit("_", 1)[1])]
            self.write(operands[0], np.full(len(who), value), who)
            return
        names = re.findall(r"[^{},\s]+", operands[0 if name == "ld" else 1])
        item = np.dtype(NUMPY[modifiers[-1]]).itemsize
        base, _, offset = place.partition("+")
        address = self.read(base, "s64", who) + int(offset or 0)
        assert not (address % (item * len(names))).any(), "an access is not aligned"
        for k, register in enumerate(names):
            start, cells = self.find(address + k * item, item)
            if name == "ld":
                value = start[cells].view(NUMPY[f"u{8 * item}"])[:, 0]
                self.write(register, value, who)
            else:
                assert start is self.memory[self.output], "a write into an input"
                value = self.read(register, f"u{8 * item}", who)
                start[cells] = value[:, None].view(np.uint8)
                np.add.at(self.writes, cells, 1)

    def find(self, address: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The tensor that holds these addresses, and the bytes' places in it."""
        for start, cells in self.memory.items():
            offset = address - start
            if (offset >= 0).all() and (offset + size <= len(cells)).all():
                return cells, offset[:, None] + np.arange(size)
        raise AssertionError("an access outside of the tensors")


def _bytes(t: Tensor) -> np.ndarray:
    size = t.numel() * t.element_size()
    return np.frombuffer((ctypes.c_uint8 * size).from_address(t.data_ptr()), np.uint8)


def _literal(text: str, kind: str) -> int:
    if text[:2] in ("0f", "0d", "0F", "0D"):
        return int(text[2:], 16)
    return int(text, 0) % 2**64


def _as(bits: np.ndarray, kind: str) -> np.ndarray:
    kind = NUMPY.get(kind, "u2")  # bfloat16 has no numpy type: its bits
    return bits.astype(f"u{kind[1:]}").view(kind)


def _convert(x: np.ndarray, modifiers: list[str]) -> np.ndarray:
    to = modifiers[-2]
    if "sat" in modifiers:
        x = np.clip(x, 0, 1)
    if "rni" in modifiers:
        x = np.rint(x)
    if to == "bf16":
        bits = x.view("u4").astype("u8")
        rounded = (bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)
        return np.where(np.isnan(x), 0x7FFF, rounded).astype("u2")
    return x.astype(NUMPY[to])


def _rounded(exact: np.ndarray, modifiers: list[str], dtype: np.dtype) -> np.ndarray:
    """To the nearest number; downward for rm, toward zero for rz."""
    near = exact.astype(dtype)
    if "rm" in modifiers:
        return np.where(near > exact, np.nextafter(near, dtype.type(-np.inf)), near)
    if "rz" in modifiers:
        return np.where(abs(near) > abs(exact), np.nextafter(near, dtype.type(0)), near)
    return near


def _compare(test: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    unknown = np.isnan(a) | np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
    if test in ("num", "nan"):
        return unknown if test == "nan" else ~unknown
    result = COMPARISONS[test[:2]](a, b)
    return result | unknown if test[2:] == "u" else result & ~unknown


def _compute(name: str, modifiers: list[str], values: list[np.ndarray]) -> np.ndarray:
    x, dtype = values[0], values[0].dtype
    if name in ("mul", "mad") and dtype.kind != "f":
        if "wide" in modifiers:
            values = [v.astype(f"{dtype.kind}8") for v in values]
        product = values[0] * values[1]
        return product + values[2] if name == "mad" else product
    if name in ("add", "sub", "mul", "fma", "mad") and dtype.kind == "f":
        a, b, *c = (v.astype(np.float64 if dtype.itemsize < 8 else np.longdouble) for v in values)
        exact = {"add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b}
        return _rounded(exact.get(name, lambda: a * b + c[0])(), modifiers, dtype)
    if modifiers[-1] == "pred":
        values = [v.astype(bool) for v in values]
    simple = {
        "mov": lambda: x,
        "cvta": lambda: x,
        "neg": lambda: -x,
        "abs": lambda: abs(x),
        "not": lambda: ~values[0],
        "and": lambda: values[0] & values[1],
        "or": lambda: values[0] | values[1],
        "xor": lambda: values[0] ^ values[1],
        "add": lambda: x + values[1],
        "sub": lambda: x - values[1],
        "shl": lambda: np.where(values[1] < 8 * dtype.itemsize, x << values[1].astype(dtype), 0),
        "shr": lambda: x >> np.minimum(values[1], 8 * dtype.itemsize - 1).astype(dtype),
        "div": lambda: x / values[1] if dtype.kind == "f" else _quotient(x, values[1]),
        "rem": lambda: x - _quotient(x, values[1]) * values[1],
        "min": lambda: np.fmin(x, values[1]),
        "max": lambda: np.fmax(x, values[1]),
        "rcp": lambda: 1 / x,
        "ex2": lambda: np.exp2(x),
        "copysign": lambda: np.copysign(values[1], x),
        "setp": lambda: _compare(modifiers[0], *values),
    }
    result = simple[name]()
    return result if result.dtype == bool else result.astype(dtype)


def _quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rounded toward zero, as C does."""
    floor = x // y
    return np.where((x % y != 0) & ((x < 0) != (y < 0)), floor + 1, floor)
