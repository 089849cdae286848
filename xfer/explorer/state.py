"""What an explorer shows, as one value: whoever has the state can draw the picture again."""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfer.errors import BadFile, MissingFile, expect
from xfer.runs import write_json

MOTIONS = ("clip", "file", "own")
LAYERS = 64
"""No generator has so many styles: the end of a range that takes all."""


@dataclass(frozen=True)
class State:
    """Identity, driver, what is done to the motion, and where it goes."""

    seed: int = 1
    """Of the random person."""
    other_seed: int = 2
    mix: float = 0.0
    """How far from the person to the other, 0 to 1."""
    psi: float = 0.7
    """Truncation of random people, 0 to 1."""
    photo: str = ""
    """A photo instead of the random person."""
    motion: str = "clip"
    """Who moves: a clip of the face world, a file, or nobody (the identity's own motion)."""
    clip_seed: int = 5
    frame: int = 0
    """Of the clip or video."""
    file: str = ""
    """The driver's picture or video."""
    strength: float = 1.0
    """Of the driver's motion, 0 to 2."""
    layers: tuple[int, int] = (0, LAYERS)
    """First and last style that takes the motion; the others stay the identity's."""
    controls: Mapping[str, float] = field(default_factory=dict)
    """What is added to each factor, in its unit."""
    components: Mapping[int, float] = field(default_factory=dict)
    """What is added along principal components of motion, in standard deviations; from 0."""

    def __post_init__(self):
        for name in ("seed", "other_seed", "clip_seed", "frame"):
            number = getattr(self, name)
            expect(isinstance(number, int) and number >= 0, f"{name} is 0 or more; got {number!r}")
        for name, most in (("mix", 1), ("psi", 1), ("strength", 2)):
            number = getattr(self, name)
            expect(0 <= number <= most, f"{name} is between 0 and {most}; got {number}")
        expect(self.motion in MOTIONS, f"motion is {', '.join(MOTIONS)}; got {self.motion!r}")
        first, last = self.layers
        expect(0 <= first <= last, f"layers are first and last, from 0; got {self.layers}")

    def save(self, path: str | Path) -> Path:
        """Write every value as JSON."""
        write_json(path, dataclasses.asdict(self))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "State":
        """Read a saved state.

        Raises:
            MissingFile, BadFile, BadValue: No such file; no state; a value out of its range.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFile(f"there is no saved state {path}")
        try:
            return cls.from_values(json.loads(path.read_text()))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BadFile(f"{path} is no saved state: {error}") from None
        except (TypeError, ValueError) as error:
            raise BadFile(f"{path}: {error}") from None

    @classmethod
    def from_values(cls, values: Any) -> "State":
        """A state from plain values, as JSON gives them; what is not named keeps its default."""
        expect(isinstance(values, Mapping), "a state is a table of values by name")
        names = [item.name for item in dataclasses.fields(cls)]
        for name in values:
            near = difflib.get_close_matches(name, names, 1) or names
            expect(name in names, f"a state has no {name!r}; did you mean {near[0]!r}?")
        found = dict(values)
        if "layers" in found:
            first, last = found["layers"]
            found["layers"] = (int(first), int(last))
        if "components" in found:
            found["components"] = {int(k): float(v) for k, v in found["components"].items()}
        if "controls" in found:
            found["controls"] = {str(k): float(v) for k, v in found["controls"].items()}
        return cls(**found)
