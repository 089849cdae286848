"""What passes from step to step: the settings of a run, and what the first reading found."""

from dataclasses import dataclass, replace

import numpy as np

from xfer.media.detectors import Points


@dataclass(frozen=True)
class Settings:
    """What decides how an input becomes a clip."""

    size: int = 256
    """Edge of the aligned pictures in pixels."""
    fps: float = 25.0
    """Frames a second, at most; a video with fewer keeps its own."""
    landmarks: str = "dlib"
    """Reader of landmarks (dlib, face-alignment); the face world's clips bring their own."""
    only_truth: bool = False
    """Take only clips that bring their landmarks."""
    picture_format: str = "jpg"
    """jpg or png."""
    jpeg_quality: int = 95
    crop_smoothing_s: float = 0.12
    """Standard deviation of the smoothing of a video's crops over time, in seconds."""
    landmark_smoothing_s: float = 0.03
    """The same for the landmarks that stand in the index."""
    least_frames: int = 5
    """A video with a face in fewer frames is rejected, if it has that many at all."""
    least_share: float = 0.1
    """A video with a face in a smaller share of its frames is rejected."""
    most_frames: int | None = None
    """Frames of a video to read at most."""


@dataclass
class Sightings:
    """What the first reading of a clip found, one row for every frame with a face."""

    numbers: list[int]
    times: list[float]
    shots: list[int]
    """Count up with every cut, and with every face taken up elsewhere."""
    points: list[Points]
    others: list[int]
    frames: int = 0
    cuts: int = 0
    takes: int = 0
    """How often a face was lost and one elsewhere taken up."""
    size: tuple[int, int] = (0, 0)

    def keep(self, rows: np.ndarray) -> "Sightings":
        """The chosen rows."""
        chosen = {
            name: [getattr(self, name)[row] for row in rows]
            for name in ("numbers", "times", "shots", "points", "others")
        }
        return replace(self, **chosen)
