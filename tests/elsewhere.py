"""A device that does not exist, for finding tensors left behind without a GPU at hand.

A tensor that is elsewhere says that it lies on "meta", and is computed on the CPU; an operation
that mixes it with CPU tensors fails, as on a GPU (but for tensors without axes, and for indices).
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "meta"
aten = torch.ops.aten
MOVING = {aten._to_copy.default, aten.copy_.default}
INDEXING = {
    aten.index.Tensor, aten.index_put_.default, aten.index_put.default,
    aten._index_put_impl_.default,
}  # fmt: skip


class Elsewhere(torch.Tensor):
    """A tensor elsewhere; `inner` holds its numbers."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=NAME,
        )  # fmt: skip

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self, **_):
        return f"Elsewhere({tuple(self.shape)})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Placing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function, args, kwargs):
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, Elsewhere)]
    if there and function not in MOVING:
        _refuse_strays(function, args[0], [t for t in tensors if not isinstance(t, Elsewhere)])
    plain = tree_map(lambda x: x.inner if isinstance(x, Elsewhere) else x, (args, kwargs))
    goal = str(kwargs.get("device") or "")
    if goal == NAME:
        plain[1]["device"] = torch.device("cpu")
    made = function(*plain[0], **plain[1])
    stays = isinstance(args[0], Elsewhere) if function is aten.copy_.default else bool(there)
    if not (goal == NAME if goal else stays):
        return made
    known = {id(t.inner): t for t in there}  # what was changed in place stays itself
    wrap = lambda t: known.get(id(t)) if id(t) in known else Elsewhere(t)
    return tree_map(lambda x: wrap(x) if isinstance(x, torch.Tensor) else x, made)


def _refuse_strays(function, first, here):
    strays = [t for t in here if t.ndim]
    if function in INDEXING and isinstance(first, Elsewhere):
        strays = [t for t in strays if t.is_floating_point()]
    if strays:
        shapes = ", ".join(str(tuple(t.shape)) for t in strays)
        raise RuntimeError(f"{function} of tensors elsewhere has some on the CPU: {shapes}")


@contextlib.contextmanager
def elsewhere(monkeypatch):
    """Tensors that are asked to lie on "meta" are elsewhere, within the block."""
    tensor, save, autocast = torch.tensor, torch.save, torch.autocast

    def placed(*args, device=None, **options):
        made = tensor(*args, **options)
        return made.to(NAME) if str(device) == NAME else made

    def saved(value, *args, **options):
        bare = lambda x: x.inner.detach() if isinstance(x, Elsewhere) else x
        return save(tree_map(bare, value), *args, **options)

    monkeypatch.setattr(torch, "tensor", placed)
    monkeypatch.setattr(torch, "save", saved)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: autocast("cpu", enabled=False))
    with _Placing():
        yield
