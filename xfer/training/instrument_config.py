"""Configurations of the instruments' training.

One preset a copy: "judge" differs from "loss" in its seed and, by the frames it is given, in the
people it has seen.
"""

from dataclasses import dataclass, field

from xfer.errors import expect
from xfer.instruments import FaceRecogniserConfig, FactorReaderConfig


@dataclass(frozen=True)
class _Training:
    """What both kinds share."""

    seed: int = 0
    batch: int = 64
    total_kimg: float = 300.0
    tick_kimg: float = 10.0
    save_kimg: float = 50.0
    learning_rate: float = 2e-3
    """Peak of the schedule: linear warm-up, then half a cosine to zero."""
    weight_decay: float = 0.02
    roughen: float = 1.0
    """How much brightness, contrast and grain of the training pictures are shaken; 0 for none."""

    def __post_init__(self):
        expect(self.batch >= 2, f"batch statistics need at least two pictures; got {self.batch}")
        expect(self.roughen >= 0, f"roughen is at least 0; got {self.roughen}")


@dataclass(frozen=True)
class ReaderTraining(_Training):
    """Training of the factor reader."""

    reader: FactorReaderConfig = field(default_factory=FactorReaderConfig)


@dataclass(frozen=True)
class RecogniserTraining(_Training):
    """Training of the face recogniser."""

    recogniser: FaceRecogniserConfig = field(
        default_factory=lambda: FaceRecogniserConfig(
            resolution=64,
            channels=(16, 32, 64, 128),
            blocks=(1, 2, 2, 2),
            reduction=8,
            embedding=128,
            dropout=0.2,
        )
    )
    scale: float = 24.0
    """Inverse temperature of the softmax over people."""
    margin: float = 0.2
    """Subtracted from the right person's cosine (CosFace, Wang et al., 2018)."""


READER_PRESETS = {
    "nano": ReaderTraining(
        total_kimg=20.0,
        reader=FactorReaderConfig(resolution=32, channels=(16, 32, 48), blocks=(1, 1, 1)),
    ),
    "small": ReaderTraining(),
    "medium": ReaderTraining(),  # reads pictures of 128 px at 64 px, too
}
RECOGNISER_PRESETS = {
    "nano": RecogniserTraining(
        total_kimg=20.0,
        recogniser=FaceRecogniserConfig(
            resolution=32, channels=(16, 32, 48), blocks=(1, 1, 1), reduction=8, embedding=64
        ),
    ),
    "small": RecogniserTraining(),
    "medium": RecogniserTraining(),
}
