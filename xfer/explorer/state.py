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
class LatentState:
    """A person of W, and what is done to which of their styles."""

    seed: int = 1
    """Of the random person."""
    other_seed: int = 2
    mix: float = 0.0
    """How far from the person to the other, 0 to 1."""
    psi: float = 0.7
    """Truncation of random people, 0 to 1."""
    layers: tuple[int, int] = (0, LAYERS)
    """First and last style that takes what is done; the others stay the person's."""
    components: Mapping[int, float] = field(default_factory=dict)
    """What is added along principal components, in standard deviations; from 0."""

    def __post_init__(self):
        self._expect_numbers("seed", "other_seed")
        self._expect_within(mix=1, psi=1)
        first, last = self.layers
        expect(0 <= first <= last, f"layers are first and last, from 0; got {self.layers}")

    def _expect_numbers(self, *names: str) -> None:
        for name in names:
            number = getattr(self, name)
            expect(isinstance(number, int) and number >= 0, f"{name} is 0 or more; got {number!r}")

    def _expect_within(self, **most: float) -> None:
        for name, end in most.items():
            number = getattr(self, name)
            expect(0 <= number <= end, f"{name} is between 0 and {end}; got {number}")

    def save(self, path: str | Path) -> Path:
        """Write every value as JSON."""
        write_json(path, dataclasses.asdict(self))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "LatentState":
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
    def from_values(cls, values: Any) -> "LatentState":
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


@dataclass(frozen=True)
class State(LatentState):
    """Identity, driver, what is done to the motion (the components are those of motion), and which
    styles take it."""

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
    controls: Mapping[str, float] = field(default_factory=dict)
    """What is added to each factor, in its unit."""

    def __post_init__(self):
        super().__post_init__()
        self._expect_numbers("clip_seed", "frame")
        self._expect_within(strength=2)
        expect(self.motion in MOTIONS, f"motion is {', '.join(MOTIONS)}; got {self.motion!r}")
