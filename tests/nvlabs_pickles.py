"""Pickles as NVlabs' code writes them, made by rule: stored attributes, and source code inside.

The modules that such a pickle names exist only while it is being written.
"""

import contextlib
import pickle
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_rule import KEYS
from by_rule import state as by_rule
from torch import Tensor


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("the official loader, which executes the source, was called")


class EasyDict(dict):
    pass


PLACES = {_reconstruct_persistent_obj: "torch_utils.persistence", EasyDict: "dnnlib.util"}


@contextlib.contextmanager
def modules_of_nvlabs() -> Iterator[None]:
    """The modules under their names, with what pickle looks up in them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torch_utils", "dnnlib", *PLACES.values()):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        for value, place in PLACES.items():
            value.__module__ = place
            setattr(sys.modules[place], value.__name__, value)
        yield


class Persistent:
    """Pickles itself as a persistent class of NVlabs' code does."""

    def __init__(self, state: dict[str, Any], source: str = "raise SystemExit('executed')"):
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Network"}
        self.meta["state"] = state

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,)


def module(tensors, attributes, prefix: str = "") -> Persistent:
    """A module with all below it; attributes of layers by prefix ("synthesis.b4.conv1.", "")."""
    whole = torch.nn.Module().eval()
    for name in (name for name in tensors if "." not in name):
        if name in ("resample_filter", "noise_const", "w_avg"):
            whole.register_buffer(name, tensors[name])
        else:
            whole.register_parameter(name, torch.nn.Parameter(tensors[name]))
    for part in dict.fromkeys(name.partition(".")[0] for name in tensors if "." in name):
        inner = {n.partition(".")[2]: t for n, t in tensors.items() if n.startswith(f"{part}.")}
        whole._modules[part] = module(inner, attributes, f"{prefix}{part}.")
    return Persistent(vars(whole) | {"weight_gain": np.float64(0.25)} | attributes.get(prefix, {}))


def dump(path: Path, networks: dict[str, tuple], save: Callable = pickle.dump, **options) -> Path:
    """Write a pickle of networks by key ("G_ema"): tensors, attributes of layers, init_kwargs."""
    with modules_of_nvlabs(), open(path, "wb") as file:
        content: dict[str, Any] = {"training_set_kwargs": EasyDict(path="x.zip", resolution=32)}
        for key, (tensors, attributes, made) in networks.items():
            whole = attributes.get("", {}) | {"_init_kwargs": EasyDict(made)}
            content[key] = module(tensors, attributes | {"": whole})
        save(content, file, **options)
    return path


def small_generator() -> dict[str, Tensor]:
    """Tensors of a narrow generator of 16 px, with three mapping layers and z wider than w."""
    shapes = {
        name: [16 if n == 512 else n for n in shape]
        for name, shape in KEYS["nvlabs_generator_32"].items()
        if not re.search(r"b32|fc[3-7]", name)
    }
    return by_rule(shapes | {"mapping.fc0.weight": [16, 24]})
