"""PyTorch files and NVlabs' pickles read as data: nothing that a file names is imported or called.

Python's own unpickler imports and calls whatever a pickle asks for. This one knows the opcodes that
checkpoints need, calls only the functions below, and keeps every other name as a label.
"""

import io
import mmap
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xfer.errors import BadFile

MAX_STEPS = 200_000
"""Opcodes of one file; the largest public ones have some fifty thousand."""

MAX_EXPANDED = 1 << 20
"""Numbers that one stored number may stand for, in tensors saved as a repeated view."""

LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""Of files of `torch.save` before PyTorch 1.6."""

KINDS = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
}  # fmt: skip
DTYPES = {f"torch.{name}Storage": dtype for name, dtype in KINDS.items()}

OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG
    LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
    BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST EMPTY_TUPLE EMPTY_DICT EMPTY_SET TUPLE
    TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL
    STACK_GLOBAL REDUCE BINPERSID NEWOBJ BUILD SETITEM SETITEMS ADDITEMS
"""
"""Those that checkpoints need."""


class Object(dict):
    """Stands for an object of any class: its attributes and items; the class is not made."""


class Label(str):
    """Stands for a name that a pickle mentions, as "module.name"; refuses to be called."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise BadFile(f"the file asks to call {self[:80]}, which no checkpoint needs: refused")


def read_pickled(path: Path) -> Any:
    """What a PyTorch file (zipped or older) or an NVlabs pickle holds.

    Returns:
        Plain values, dictionaries and tensors; objects with attributes come as `Object`.
    """
    with open(path, "rb") as file:
        start = file.read(16)
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(path)
        if not start.startswith(b"\x80"):
            raise BadFile("not a checkpoint: neither safetensors nor a PyTorch file nor a pickle")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if start.startswith(LEGACY_START):
                return _read_legacy(data, len(data), _Dispatch())
            return _Unpickler(data, _Dispatch()).load()


def _read_zip(path: Path) -> Any:
    """A file of `torch.save`; zipfile checks the checksum of every record that is read."""
    with zipfile.ZipFile(path) as archive:
        records = {entry.filename: entry for entry in archive.infolist()}
        plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in records.values())
        if not plain or sum(e.file_size for e in records.values()) > path.stat().st_size:
            raise BadFile("a zip file that unpacks to more than it weighs: refused")
        root = next((n for n in records if n.endswith("data.pkl")), None)
        if root is None:
            raise BadFile("a zip file, and not one of PyTorch: it holds no data.pkl")
        folder = root.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in records and archive.read(order) != b"little":
            raise BadFile("a file of a big-endian machine; save it again on another one")
        storages: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
            if key not in storages:
                data = archive.read(f"{folder}data/{key}")
                storages[key] = _numbers(data[: count * dtype.itemsize], dtype, count)
            return storages[key]

        return _Unpickler(io.BytesIO(archive.read(root)), _Dispatch(), storage).load()


def _read_legacy(stream: Any, size: int, dispatch: "_Dispatch") -> Any:
    """A stream of PyTorch before 1.6: three small pickles, the object, the keys, the storages."""
    for _ in range(3):
        _Unpickler(stream, dispatch).load()
    storages: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
        if key not in storages:
            if count * dtype.itemsize + sum(t.nbytes for t in storages.values()) > size:
                raise BadFile("storages larger than the file: damaged or cut short")
            storages[key] = torch.empty(count, dtype=dtype)
        return storages[key]

    tree = _Unpickler(stream, dispatch, storage).load()
    keys = _Unpickler(stream, dispatch).load()
    if set(keys) != storages.keys() or len(keys) != len(storages):
        raise BadFile("the storages are not those of the tensors: damaged")
    for key in keys:
        into = storages[key]
        if struct.unpack("<q", stream.read(8)) != (len(into),):
            raise BadFile(f"storage {key} has not the length that its tensors need: damaged")
        into.copy_(_numbers(stream.read(into.nbytes), into.dtype, len(into)))
    return tree


def _numbers(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise BadFile("a storage is shorter than its tensors: damaged or cut short")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


class _Unpickler(pickle._Unpickler):
    """The form in Python, because the one in C spends memory on what a pickle only promises."""

    def __init__(
        self, stream: Any, dispatch: "_Dispatch", storage: Callable[..., Tensor] | None = None
    ):
        super().__init__(stream)
        self.dispatch, self.storage = dispatch, storage

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "torch.storage._load_from_bytes":
            return lambda data: _read_legacy(io.BytesIO(data), len(data), self.dispatch)
        if full == "_codecs.encode":  # how protocol 2 writes bytes
            return self._encode
        if full == "dnnlib.tflib.network.Network":
            raise BadFile("a TensorFlow network; NVlabs' converter makes a PyTorch pickle of it")
        return CALLS.get(full, Label(full))

    def _encode(self, text: str, _: str) -> bytes:
        self.dispatch.steps += len(text) >> 14  # one text, encoded over and over, takes long too
        return text.encode("latin1")

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "module":  # a class beside its source, in files of before PyTorch 1.6
            return pid[1]
        word, kind, key, _, count, *view = pid
        if word != "storage" or kind not in DTYPES or not isinstance(key, str) or any(view):
            raise BadFile("a reference to something that is no tensor storage: refused")
        if self.storage is None or not isinstance(count, int) or not 0 <= count < 1 << 40:
            raise BadFile("a tensor storage that makes no sense: refused")
        return self.storage(DTYPES[kind], key, count)

    def load_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, Label) or arguments != ():
            raise BadFile(f"the file makes an object of {str(kind)[:80]!r}: refused")
        self.stack.append(Object())

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Object) and isinstance(state, dict):
            target.update(state)
        elif not isinstance(target, dict | str | NoneType):  # whose attributes do not matter
            raise BadFile(f"the pickle sets the state of a {type(target).__name__}: refused")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise BadFile("the pickle fills something that is no dictionary: refused")
        self.stack[-1].update(_dict(items[::2], items[1::2]))

    def load_additems(self) -> None:
        self.pop_mark()  # no checkpoint needs what its sets hold


class _Dispatch(dict):
    """What to do for the opcodes above, counted as they are looked up."""

    def __init__(self):
        codes = {name: getattr(pickle, name)[0] for name in OPCODES.split()}
        super().__init__({code: pickle._Unpickler.dispatch[code] for code in codes.values()})
        for name in ("NEWOBJ", "BUILD", "SETITEM", "SETITEMS", "ADDITEMS"):
            self[codes[name]] = getattr(_Unpickler, f"load_{name.lower()}")
        self.steps = 0

    def __getitem__(self, code: int) -> Callable[[_Unpickler], None]:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise BadFile(f"a pickle of more than {MAX_STEPS} steps: refused")
        if code not in self:
            raise BadFile(f"the pickle uses opcode {code}, which no checkpoint needs: refused")
        return super().__getitem__(code)


# What pickles may call --------------------------------------------------------------------------


def _dict(keys: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
    """A dictionary with flat keys: hashing a deep one would overflow the interpreter's stack."""
    keys = list(keys)
    if not all(isinstance(key, str | bytes | int | float | NoneType) for key in keys):
        raise BadFile("the pickle has a key that is no text and no number: refused")
    return dict(zip(keys, values, strict=True))


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    """A view of a storage that stays inside it."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Tensor) or len(size) != len(stride) or len(size) > 8:
        raise BadFile("a tensor without numbers or with too many axes: refused")
    if not all(isinstance(n, int) and 0 <= n < 1 << 40 for n in numbers):
        raise BadFile("a tensor whose shape makes no sense: refused")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > max(len(storage), MAX_EXPANDED) or (0 not in size and last >= len(storage)):
        raise BadFile(f"a tensor of {prod(size)} numbers of which {len(storage)} are stored")
    return storage.new_empty(size) if 0 in size else storage.as_strided(size, stride, offset)


def _numpy_kind(code: str, *_: Any) -> str:
    if not re.fullmatch(r"[biuf][1248]", code):
        raise BadFile(f"numbers of numpy's kind {code[:20]!r}: refused")
    return code


def _numpy_number(code: str, data: bytes | str) -> int | float | bool:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, f"<{_numpy_kind(code)}", 1)[0].item()


IGNORED = """
    builtins.set __builtin__.set builtins.frozenset builtins.bytes __builtin__.bytes torch.Size
    pathlib.PosixPath pathlib.WindowsPath torch.device numpy.core.multiarray._reconstruct
    numpy._core.multiarray._reconstruct
"""
"""Makers of what no network needs; they give None."""

CALLS: dict[str, Callable[..., Any]] = dict.fromkeys(IGNORED.split(), lambda *_: None) | {
    "collections.OrderedDict": lambda pairs=(): _dict([k for k, _ in pairs], [v for _, v in pairs]),
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    # An NVlabs network or layer by its attributes; its source, `module_src`, is not looked at.
    "torch_utils.persistence._reconstruct_persistent_obj": lambda meta: Object(meta["state"]),
    "numpy.dtype": _numpy_kind,
    "numpy.core.multiarray.scalar": _numpy_number,
    "numpy._core.multiarray.scalar": _numpy_number,
}
"""All that a pickle may call, beside the two that `find_class` gives."""
