"""The names that a checkpoint's pickle may mention, and what stands for each: plain data only."""

import re
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xfer.errors import BadFile
from xfer.files.pickles import as_dict

MAX_EXPANDED = 1 << 20
"""Numbers that one stored number may stand for, in tensors saved as a repeated view."""

STORAGE_TYPES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}


@dataclass(frozen=True)
class Storage:
    """Numbers in a row; `values` is None while a file is only being vetted."""

    dtype: torch.dtype
    length: int
    values: Tensor | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.length * self.dtype.itemsize


class Options(dict):
    """Stands for an object with attributes: argparse's Namespace, EasyDict."""

    def restore(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    __setstate__ = restore


@dataclass
class Array:
    """Stands for a numpy array until its numbers come."""

    value: np.ndarray | None = None

    def restore(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(data, kind.dtype)
        self.value = flat.reshape(shape, order="F" if fortran else "C")

    __setstate__ = restore


@dataclass
class Kind:
    """Stands for a numpy dtype of plain numbers."""

    code: str
    order: str = "<"

    def restore(self, state: Any) -> None:
        self.order = state[1]

    __setstate__ = restore

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order.replace("|", "=") + self.code)


def rebuild_tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Any:
    """A view of a storage that stays inside it; the storage itself where it has no values."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 8:
        raise BadFile("a tensor without numbers or with too many axes: refused")
    if not all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers):
        raise BadFile("a tensor whose shape makes no sense: refused")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > max(storage.length, MAX_EXPANDED):
        raise BadFile(f"a tensor of {prod(size)} numbers where {storage.length} are stored")
    if 0 not in size and last >= storage.length:
        raise BadFile(f"a tensor reaches number {last + 1} of {storage.length} that are there")
    if storage.values is None:
        return storage
    if 0 in size:
        return storage.values.new_empty(size)
    return storage.values.as_strided(size, stride, offset)


def number(kind: Kind, data: bytes | str) -> int | float | bool:
    """A numpy scalar."""
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def kind(code: str, *_: Any) -> Kind:
    """A numpy dtype of plain numbers, by its code."""
    if not re.fullmatch(r"[biufc]\d{1,2}", code):
        raise BadFile(f"a numpy array of {code[:20]!r}: refused")
    return Kind(code)


def as_bytes(text: str = "", encoding: str = "latin1") -> bytes:
    """Bytes as old pickles write them."""
    if encoding not in ("latin1", "latin-1"):
        raise BadFile(f"bytes in the encoding {encoding[:20]!r}: refused")
    return text.encode("latin1")


def _refused(*_: Any) -> Any:
    raise BadFile("the pickle calls a name that is only a label: refused")


PLAIN = {
    "collections.OrderedDict": lambda pairs=(): as_dict([x for pair in pairs for x in pair]),
    "collections.defaultdict": lambda *_: {},
    "argparse.Namespace": Options,
    "dnnlib.util.EasyDict": Options,
    "dnnlib.EasyDict": Options,
    "builtins.set": set,
    "__builtin__.set": set,
    "builtins.bytes": as_bytes,
    "__builtin__.bytes": as_bytes,
    "_codecs.encode": as_bytes,
    "pathlib.PosixPath": lambda *parts: "/".join(map(str, parts)),
    "pathlib.WindowsPath": lambda *parts: "\\".join(map(str, parts)),
    "torch.Size": tuple,
    "torch.device": lambda *parts: ":".join(map(str, parts)),
} | {str(dtype): _refused for dtype in STORAGE_TYPES.values()}

NUMPY = {
    f"numpy.{core}.multiarray.{name}": stand_in
    for core in ("core", "_core")
    for name, stand_in in {"scalar": number, "_reconstruct": lambda *_: Array()}.items()
} | {"numpy.dtype": kind, "numpy.ndarray": _refused}

TENSORS = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
} | dict.fromkeys(STORAGE_TYPES, _refused)

TORCH = PLAIN | NUMPY | TENSORS
"""For PyTorch's own files."""
