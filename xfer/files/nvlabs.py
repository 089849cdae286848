"""Pickles of NVlabs' code: networks as stored attributes; their source code is not looked at."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from torch import Tensor

from xfer.errors import BadFile
from xfer.files.allowed import TORCH, Storage
from xfer.files.pickles import read_pickle
from xfer.files.torchfiles import load_legacy

MAX_MODULES = 10_000
"""Layers of one network; the largest public one has some hundred."""


@dataclass
class Module:
    """Stands for an NVlabs network or layer: its `__dict__` as stored, no code."""

    state: dict[str, Any] = field(repr=False)

    @property
    def children(self) -> dict[str, "Module"]:
        parts = self.state.get("_modules", {})
        return {name: part for name, part in parts.items() if isinstance(part, Module)}

    def walk(self, prefix: str = "") -> "list[tuple[str, Module]]":
        """This module and all below it with their prefixes ("synthesis.b4.")."""
        found, queue = [], [(prefix, self)]
        while queue:
            at, module = queue.pop()
            found.append((at, module))
            queue += [(f"{at}{name}.", part) for name, part in module.children.items()]
            if len(found) > MAX_MODULES:
                raise BadFile(f"a network of more than {MAX_MODULES} layers: refused")
        return found

    def all_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by their full names."""
        return {
            prefix + name: tensor
            for prefix, module in self.walk()
            for group in ("_parameters", "_buffers")
            for name, tensor in module.state.get(group, {}).items()
            if isinstance(tensor, Tensor)
        }

    def facts(self) -> dict[str, Any]:
        """Arguments the network was made with, and the plain attributes of all its layers."""
        plain = bool | int | float | str | None
        made_with = self.state.get("_init_kwargs", self.state.get("init_kwargs", {}))
        return {
            "init_kwargs": made_with,
            "layers": {
                prefix: {
                    key: value for key, value in module.state.items() if isinstance(value, plain)
                }
                for prefix, module in self.walk()
            },
        }


def read_nvlabs(path: Path) -> Any:
    """What a pickle of NVlabs' code holds, every network as a `Module`."""
    with open(path, "rb") as file:
        return read_pickle(file, ALLOWED)


def storage_from_bytes(data: bytes) -> Storage:
    """A storage that was pickled as bytes: a PyTorch file inside the file."""
    storage = load_legacy(BytesIO(data))
    if not isinstance(storage, Storage):
        raise BadFile("tensor bytes that hold something else: refused")
    return storage


def persistent_module(meta: dict[str, Any]) -> Module:
    """An NVlabs object from its stored `__dict__`."""
    state = meta.get("state")
    if not isinstance(state, dict):
        raise BadFile("an NVlabs object without state: refused")
    return Module(state)


def _tensorflow(*_: Any) -> Any:
    raise BadFile("a TensorFlow network; NVlabs' own converter turns it into a PyTorch pickle")


ALLOWED = TORCH | {
    "dnnlib.tflib.network.Network": _tensorflow,
    "torch.storage._load_from_bytes": storage_from_bytes,
    "torch_utils.persistence._reconstruct_persistent_obj": persistent_module,
}
"""The names that such a pickle may mention."""
