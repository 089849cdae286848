"""All settings of all trainings: one frozen dataclass each, and the presets by name."""

from dataclasses import dataclass, field
from typing import Any

from xfer.stylegan2.discriminator import DiscriminatorConfig
from xfer.stylegan2.generator import GeneratorConfig

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


@dataclass(frozen=True)
class GeneratorTraining(TrainingConfig):
    """StyleGAN2 from scratch; learning_rate, r1_gamma and the intervals as in its paper."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    batch: int = 32
    kimg: float = 25000.0
    learning_rate: float = 2e-3
    ema_kimg: float = 10.0
    log_kimg: float = 4.0
    save_kimg: float = 200.0
    mirror: bool = True
    style_mixing: float = 0.9
    """Share of the generated images whose styles come from two z."""
    r1_gamma: float = 10.0
    r1_interval: int = 16
    """Steps from one R1 penalty to the next; 0 for none."""
    path_weight: float = 2.0
    path_interval: int = 4


def _stylegan2(resolution: int, r1_gamma: float, batch: int, **settings: Any) -> GeneratorTraining:
    widths = {k: settings.pop(k) for k in ("channel_base", "channel_max") if k in settings}
    dims = {k: settings.pop(k) for k in ("z_dim", "w_dim", "mapping_layers") if k in settings}
    return GeneratorTraining(
        generator=GeneratorConfig(resolution=resolution, **widths, **dims),
        discriminator=DiscriminatorConfig(resolution=resolution, **widths),
        r1_gamma=r1_gamma, batch=batch, **settings,
    )  # fmt: skip


GENERATOR_PRESETS = {
    "toy": _stylegan2(
        32, 0.05, 16, channel_base=1024, channel_max=64, z_dim=64, w_dim=64, mapping_layers=4,
        kimg=40.0, ema_kimg=1.0, log_kimg=0.32, save_kimg=4.0,
    ),
    "64": _stylegan2(64, 0.1, 32, channel_base=8192, channel_max=256, mapping_layers=4),
    "256": _stylegan2(256, 1.0, 32, channel_base=16384),
    "1024": _stylegan2(1024, 10.0, 32),
}  # fmt: skip
"""By resolution; r1_gamma as StyleGAN2-ADA's rule gives it."""
