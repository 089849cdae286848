"""Where weights come from: what taught them, under which licence, and from which files.

Licences are inherited: what learns to draw with a generator can do nothing without it.
"""

from pathlib import Path
from typing import Any

from xfer.errors import expect
from xfer.files import registry
from xfer.files.origin import Origin, file_origin
from xfer.files.records import sha256
from xfer.runs import read_json
from xfer.training.sources import endless_preset

MIT = "MIT"
OF_DATA = "the licence of its data"
TOLD = ("people", "frames", "seed", "preset")
"""What weights tell of the face world's frames."""
DIGITS = 12
"""Of a sha256 in a run's record."""


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


def facts_of(
    frames: Origin,
    start: str | Path | None = None,
    instruments: str | Path | None = None,
    **parts: str | Path,
) -> dict[str, Any]:
    """Licence and origin as a new file of weights tells them.

    Args:
        start: Weights of its own kind that the training began with.
        instruments: The loss copy, whose people no judge of the weights may have seen. Their
            licence is not inherited: the weights do not need them.
        parts: Other networks that it needs or holds, by role: files or names.
    """
    others = {role: file_origin(file) for role, file in parts.items()}
    before = {"start": file_origin(start)} if start else {}
    trained_on = frames.trained_on | {role: other.trained_on for role, other in others.items()}
    if start:
        trained_on["before"] = before["start"].trained_on
    if instruments:
        trained_on["instruments"] = file_origin(instruments).trained_on
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


def expect_strangers(frames: str | Path, unseen: str | Path) -> None:
    """Raise `BadValue` where two sets of world frames are of one seed, which draws the people."""
    seed, other = (frames_origin(folder).trained_on["seed"] for folder in (frames, unseen))
    expect(seed != other, f"{unseen} shows the people of {frames}; render it from another seed")
