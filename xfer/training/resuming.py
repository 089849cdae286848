"""What a run that goes on must have in common with its beginning, and how its state comes back."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from xfer.errors import RunError
from xfer.runs import Run

KEPT = ("seed", "batch", "optimiser")
"""What pictures a step shows, how many were seen, and what an optimiser remembers follow from
these; so a run keeps them, and the settings of its networks."""
KEPT_FILES = ("generator", "inverter", "instruments", "start")
"""Weights that a run began with: what it has learned of them is worth nothing with others."""
FREE = ("conv_clamp", "half_resolutions", "stddev_group", "dropout")
"""Settings of networks that decide nothing of what these hold."""
SETTINGS = ("lr", "weight_decay", "betas")
"""Of an optimiser: they come from the configuration, which a resumption may change."""


@runtime_checkable
class HasState(Protocol):
    """Anything that can be saved and restored: networks, optimisers, counters."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def restore(part: HasState, state: dict[str, Any]) -> None:
    """Load what was saved; an optimiser keeps the settings that it was built with."""
    groups = part.param_groups if isinstance(part, torch.optim.Optimizer) else []
    built = [{name: group[name] for name in SETTINGS if name in group} for group in groups]
    part.load_state_dict(state)
    if isinstance(part, torch.optim.Optimizer):
        for group, settings in zip(part.param_groups, built, strict=True):
            group.update(settings)


def told(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Changed settings in words."""
    if not changes:
        return ""
    return ": " + ", ".join(f"{name} was {old}, not {new}" for name, (old, new) in changes.items())


def way_out(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """What to do about changed settings."""
    text = lambda old: str(tuple(old) if isinstance(old, list) else old).replace(" ", "")
    back = " ".join(f"{name}={text(old)}" for name, (old, _) in changes.items())
    return (f"go on with --set {back}, or " if back else "") + "choose another folder"


def refuse_changes(run: Run) -> None:
    """Raise `RunError` where something is changed that the run began with and must keep."""
    changes = {
        name: values
        for name, values in run.changes.items()
        if name in KEPT or ("." in name and name.rpartition(".")[2] not in FREE)
    }
    if changes:
        raise RunError(
            f"{run.folder} cannot go on with other networks, batches, optimisers or seeds"
            f"{told(changes)}; {way_out(changes)}"
        )
    files = {
        name: (old, new)
        for name, (old, new) in run.changed_inputs.items()
        if name in KEPT_FILES and _content(old) != _content(new)
    }
    if files:
        raise RunError(
            f"{run.folder} cannot go on with other weights than it began with{told(files)}; "
            "name those again, or choose another folder"
        )


def _content(named: str) -> str:
    """Of a file of weights its sha256, wherever it lies now."""
    return named.rpartition("sha256 ")[2]
