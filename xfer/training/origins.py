"""Where weights come from: what taught them, under which licence, and from which files.

Licences are inherited: what learns to draw with a generator can do nothing without it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from xfer.files import read_checkpoint, registry
from xfer.files.records import sha256
from xfer.runs import read_json
from xfer.training.sources import endless_preset

MIT = "MIT"
OF_DATA = "the licence of its data"
TOLD = ("people", "frames", "seed", "preset")
"""What weights tell of the face world's frames."""
DIGITS = 12
"""Of a sha256 in a run's record."""


class Origin(NamedTuple):
    """Of frames, or of a file of weights."""

    licence: str
    trained_on: Any
    """What a file tells of itself, JSON-able; of frames what the weights will tell."""


def frames_origin(source: str | Path, seed: int = 0) -> Origin:
    """Where pictures come from, as `sources` understands their name.

    Args:
        seed: Of the training; it decides whom an endless world shows.
    """
    if preset := endless_preset(source):
        return Origin(MIT, {"people": "endless", "seed": seed, "preset": preset})
    path = Path(source).absolute()
    record = path / "frames.json"
    if record.exists():
        found = read_json(record)
        return Origin(MIT, {name: found[name] for name in TOLD if name in found})
    return Origin(OF_DATA, {"folder" if path.is_dir() else "file": path.name})


def file_origin(weights: str | Path) -> Origin:
    """What a file of weights, or a shipped or fetched name, tells of itself."""
    path = registry.locate(weights)
    facts = read_checkpoint(path).facts
    public = [
        item.licence for name, item in registry.PUBLIC.items() if registry.place(name) == path
    ]
    licence = facts.get("licence") or next(iter(public), f"the licence of {path.name}")
    return Origin(licence, facts.get("trained_on") or {"file": path.name})


def facts_of(
    frames: Origin, start: str | Path | None = None, **parts: str | Path
) -> dict[str, Any]:
    """Licence and origin as a new file of weights tells them.

    Args:
        start: Weights of its own kind that the training began with.
        parts: Other networks that it needs or holds, by role: files or names.
    """
    others = {role: file_origin(file) for role, file in parts.items()}
    before = {"start": file_origin(start)} if start else {}
    trained_on = frames.trained_on | {role: other.trained_on for role, other in others.items()}
    if start:
        trained_on["before"] = before["start"].trained_on
    licences = {role: other.licence for role, other in (others | before).items()}
    return {"licence": inherited(frames.licence, **licences), "trained_on": trained_on}


def inherited(own: str, **parts: str) -> str:
    """The licence of something made with parts, each under its own; MIT asks for nothing more."""
    told = [own]
    for role, licence in parts.items():
        first, *others = licence.split("; ")
        told += [f"its {role}: {first}"] * (first != MIT) + others
    return "; ".join(dict.fromkeys(told))


def inputs(**given: str | Path | None) -> dict[str, str]:
    """Names of what a run is made from, for its record, without the paths of this machine.

    Args:
        given: frames and clips as `sources` understands them; all others are files of weights.
    """
    named = {}
    for role, source in given.items():
        if source is None:
            continue
        if role in ("frames", "clips", "unseen"):
            named[role] = str(source) if endless_preset(source) else Path(source).absolute().name
        else:
            path = registry.locate(source)
            named[role] = f"{path.name}, sha256 {sha256(path)[:DIGITS]}"
    return named
