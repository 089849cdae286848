"""What a file of weights tells of its origin, and who may judge it by that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from xfer.errors import BadFile
from xfer.files import registry
from xfer.files.reading import read_checkpoint


class Origin(NamedTuple):
    """Of frames, or of a file of weights."""

    licence: str
    trained_on: Any
    """What a file tells of itself, JSON-able; of frames what the weights will tell."""


def file_origin(weights: str | Path) -> Origin:
    """What a file of weights, or a shipped or fetched name, tells of itself."""
    path = registry.locate(weights)
    facts = read_checkpoint(path).facts
    public = [
        item.licence for name, item in registry.PUBLIC.items() if registry.place(name) == path
    ]
    licence = facts.get("licence") or next(iter(public), f"the licence of {path.name}")
    return Origin(licence, facts.get("trained_on") or {"file": path.name})


def expect_other_teachers(judges: str | Path, weights: str | Path) -> None:
    """Refuse judges taught with the people of the instruments in whose losses weights learned.

    They may be mistaken alike, and weights that please the ones then please the others. Weights
    that tell of no instruments, such as the shipped ones, pass.

    Raises:
        BadFile: A seed of the face world is among those of both.
    """
    learned = _told(file_origin(weights).trained_on, "instruments")
    taught = {seed for told in learned for seed in _told(told, "seed")}
    shared = taught.intersection(_told(file_origin(judges).trained_on, "seed"))
    if shared:
        raise BadFile(
            f"{judges} has seen the people of the instruments in the losses of {weights} (seed "
            f"{', '.join(map(str, sorted(shared)))}); train judges on frames of another seed"
        )


def _told(trained_on: Any, name: str) -> Iterator[Any]:
    """Everything of a name in what a file tells of itself and of what it is made from."""
    if isinstance(trained_on, dict):
        for key, value in trained_on.items():
            if key == name:
                yield value
            yield from _told(value, name)
