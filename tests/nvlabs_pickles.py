"""Pickles as NVlabs' code writes them, made by rule: stored attributes, and source code inside.

The modules that such a pickle names exist only while it is being written.
"""

import contextlib
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from by_rule import state as by_rule
from torch import Tensor

STAND_INS = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")


@contextlib.contextmanager
def modules_of_nvlabs() -> Iterator[None]:
    """The modules under their names, with what pickle looks up in them."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("the official loader, which executes the source, was called")

    class EasyDict(dict):
        pass

    for name in STAND_INS:
        sys.modules[name] = types.ModuleType(name)
    for place, value in {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
    }.items():
        value.__module__, value.__qualname__ = place, value.__name__
        setattr(sys.modules[place], value.__name__, value)
    try:
        yield
    finally:
        for name in STAND_INS:
            del sys.modules[name]


class Persistent:
    """Pickles itself as a persistent class of NVlabs' code does."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str):
        self.class_name, self.state, self.source = class_name, state, source

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": self.class_name,
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


def module(
    class_name: str,
    tensors: dict[str, Tensor],
    attributes: dict[str, dict[str, Any]],
    source: str,
    prefix: str = "",
) -> Persistent:
    """A module with all below it.

    Args:
        attributes: Of every layer by its prefix ("synthesis.b4.conv1."); "" for the whole.
    """
    own = {name: tensor for name, tensor in tensors.items() if "." not in name}
    buffers = {"resample_filter", "noise_const", "w_avg"} & own.keys()
    below = OrderedDict()
    for part in dict.fromkeys(name.partition(".")[0] for name in tensors if "." in name):
        inner = {n.partition(".")[2]: t for n, t in tensors.items() if n.startswith(f"{part}.")}
        below[part] = module(f"{part}Layer", inner, attributes, source, f"{prefix}{part}.")
    parameters = [(name, torch.nn.Parameter(own[name])) for name in own if name not in buffers]
    state = {
        "training": False,
        "_parameters": OrderedDict(parameters),
        "_buffers": OrderedDict((name, own[name]) for name in buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_modules": below,
        "weight_gain": np.float64(0.25),
        "_init_args": (),
    }
    return Persistent(class_name, state | attributes.get(prefix, {}), source)


def dump(
    path: Path,
    networks: dict[str, tuple[str, dict[str, Tensor], dict[str, dict[str, Any]], dict[str, Any]]],
    source: str = "raise SystemExit('the source was executed')",
    protocol: int = 3,
    save: Callable[[Any, Any], None] | None = None,
) -> Path:
    """Write a pickle of networks.

    Args:
        networks: By key ("G_ema"): class name, tensors, attributes of layers, init_kwargs.
        save: `torch.save` for a file of PyTorch's around the same objects.
    """
    with modules_of_nvlabs(), open(path, "wb") as file:
        easy = sys.modules["dnnlib.util"].EasyDict
        content: dict[str, Any] = {"training_set_kwargs": easy(path="x.zip", resolution=32)}
        for key, (name, tensors, attributes, made) in networks.items():
            whole = attributes.get("", {}) | {"_init_kwargs": easy(made)}
            content[key] = module(name, tensors, attributes | {"": whole}, source)
        save(content, file) if save else pickle.dump(content, file, protocol=protocol)
    return path


def small_generator(z=24, w=16, mapping=3, size=16, width=8) -> dict[str, Tensor]:
    """Tensors of a narrow generator."""
    shapes = {"mapping.w_avg": [w], "synthesis.b4.const": [width, 4, 4]}
    for i in range(mapping):
        shapes |= {f"mapping.fc{i}.weight": [w, w if i else z], f"mapping.fc{i}.bias": [w]}
    for r in [4 << i for i in range(size.bit_length() - 2)]:
        for part in ("conv1", "torgb") if r == 4 else ("conv0", "conv1", "torgb"):
            at, edge = f"synthesis.b{r}.{part}", 1 if part == "torgb" else 3
            out = 3 if part == "torgb" else width
            shapes |= {
                f"{at}.weight": [out, width, edge, edge],
                f"{at}.bias": [out],
                f"{at}.affine.weight": [width, w],
                f"{at}.affine.bias": [width],
            }
            if part != "torgb":
                shapes |= {f"{at}.noise_strength": [], f"{at}.noise_const": [r, r]}
                shapes[f"{at}.resample_filter"] = [4, 4]
    return by_rule(shapes)
