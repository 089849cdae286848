"""What can be chosen when an identity is shown with a driver's motion."""

from dataclasses import dataclass
from typing import Literal

from xfer.errors import expect


@dataclass(frozen=True)
class Settings:
    """How motion is read, changed and shown."""

    strength: float = 1.0
    """Of the motion: 0 leaves the person's own, 1 is the driver's, up to 2."""
    relative: bool = False
    """Take over the driver's change since its first frame, not its motion itself."""
    only: tuple[str, ...] = ()
    """Parts to take over: pose, expression, mouth, eyes, brows; by default all."""
    between_drivers: float | None = None
    """With two drivers: the motion so far between them, 0 (first) to 1 (second)."""
    between_identities: float | None = None
    """With two identities: the person so far between them, 0 (first) to 1 (second)."""
    paste: Literal["none", "photo", "driver"] = "none"
    """Put the face back into the identity's photo, or into the driver's picture or video."""
    mask: Literal["face", "square"] = "face"
    """What is pasted: the face, so that hair and background stay, or the whole square."""
    roll: bool = False
    """Tilt the result as the driver's head is tilted; alignment takes the tilt away."""
    compare: bool = False
    """Put driver and identity beside the result."""
    aligned: bool = False
    """Drivers and photos are aligned squares already."""
    read: Literal["auto", "pictures", "landmarks"] = "auto"
    """What the driver's motion is read from; auto takes landmarks where the weights know only the
    face world and the driver is not from there."""
    landmarks: str = "auto"
    """Reader of landmarks: auto, face-alignment or dlib."""
    smoothing_s: float = 0.12
    """Smoothing of a video's crops over time: standard deviation in seconds."""
    psi: float = 0.7
    """Of random people: how far from the mean face, 0 to 1."""
    rounds: int | None = None
    """Of inversion; by default the identity encoder's own number."""
    batch: int = 8
    """Frames computed at a time."""

    def __post_init__(self):
        expect(0 <= self.strength <= 2, f"strength is between 0 and 2; got {self.strength:g}")
        for name in ("between_drivers", "between_identities"):
            share = getattr(self, name)
            expect(share is None or 0 <= share <= 1, f"{name} is between 0 and 1; got {share}")
        expect(0 <= self.psi <= 1, f"psi is between 0 and 1; got {self.psi:g}")
        expect(0 <= self.smoothing_s <= 2, f"smoothing_s is 0 to 2 s; got {self.smoothing_s:g}")
        expect(self.batch >= 1, f"batch is at least 1; got {self.batch}")
