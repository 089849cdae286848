"""All settings of all trainings: one frozen dataclass each, and the presets by name."""

from dataclasses import dataclass

FREE = ("kimg", "hours", "log_kimg", "save_kimg", "workers")
"""What a resumed run may have other than its beginning: how long, how often, not what."""


@dataclass(frozen=True)
class TrainingConfig:
    """What every training has."""

    seed: int = 0
    batch: int = 8
    """Images a step, over all processes."""
    kimg: float = 1000.0
    """Ends after so many thousand training images ..."""
    hours: float | None = None
    """... or after so many hours, all stays in the folder together."""
    learning_rate: float = 1e-3
    clip: float = 0.0
    """Greatest norm of a gradient; 0 for no limit."""
    ema_kimg: float = 10.0
    """Half-life of the averaged weights in thousand images; 0 for none."""
    ema_rampup: float = 0.05
    """The half-life is at most this share of the images seen."""
    log_kimg: float = 1.0
    save_kimg: float = 10.0
    workers: int = 0
    """Processes that load data ahead: 0, or 1 where loading costs a good part of a step."""
