"""All settings of all trainings: one frozen dataclass each, and the presets by name."""

from dataclasses import dataclass, field

from xfer.encoders import MotionEncoderConfig
from xfer.mapper import MapperConfig
from xfer.recognition import FaceRecogniserConfig
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


GENERATOR_PRESETS = {
    "toy": GeneratorTraining(
        generator=GeneratorConfig(32, 64, 64, 4, channel_base=1024, channel_max=64),
        r1_gamma=0.05, batch=16, kimg=40.0, ema_kimg=1.0, log_kimg=0.32, save_kimg=4.0,
    ),
    "64": GeneratorTraining(
        generator=GeneratorConfig(64, mapping_layers=4, channel_base=8192, channel_max=256),
        r1_gamma=0.1,
    ),
    "256": GeneratorTraining(generator=GeneratorConfig(256, channel_base=16384), r1_gamma=1.0),
    "1024": GeneratorTraining(),
}  # fmt: skip
"""By resolution; r1_gamma as StyleGAN2-ADA's rule gives it."""


@dataclass(frozen=True)
class RecogniserTraining(TrainingConfig):
    """A face recogniser for losses, on generated people."""

    recogniser: FaceRecogniserConfig = field(
        default_factory=lambda: FaceRecogniserConfig(
            channels=(24, 48, 96, 192), blocks=(1, 2, 3, 2), embedding=192, dropout=0.0
        )
    )
    generator: str = "ffhq"
    control: str = "ffhq"
    preview: int = 128
    batch: int = 32
    ema_kimg: float = 4.0
    log_kimg: float = 1.6
    save_kimg: float = 16.0
    people: int = 5_000
    psi: float = 0.9
    motion: float = 0.8
    """Standard deviation of every factor of motion, in its unit."""
    recolour: float = 0.7
    """How far fine styles go towards another person's at most."""
    occlude: float = 0.2
    scale: float = 24.0
    margin: float = 0.3
    """Of cosines."""


RECOGNISER_PRESETS = {"ffhq": RecogniserTraining()}


@dataclass(frozen=True)
class TransferTraining(TrainingConfig):
    """Motion encoder and mapper. A term that a step returns is weighed by the field of its name."""

    encoder: MotionEncoderConfig = field(
        default_factory=lambda: MotionEncoderConfig(
            resolution=128, channels=(32, 64, 128, 256), blocks=(1, 2, 3, 2), n_styles=16,
            bottleneck=128, pool=4,
        )
    )  # fmt: skip
    mapper: MapperConfig = field(
        default_factory=lambda: MapperConfig("conditioned", n_styles=16, motion_styles=9)
    )
    generator: str = "ffhq"
    preview: int = 128
    """Edge of the images that losses see, in pixels: 128 or 256."""
    learning_rate: float = 5e-4
    """The paper trains longer, at 1e-4."""
    mapper_rate: float = 1.0
    """Of the mapper's directions, over learning_rate."""
    start: str = ""
    """Weights whose control the mapper starts from: "ffhq", a file, or empty for none."""
    keep_encoder: bool = False
    """Go on from the motion encoder of `start`, too."""
    clip: float = 1.0
    ema_kimg: float = 2.0
    log_kimg: float = 0.4
    save_kimg: float = 4.0
    latent_kimg: float = 20.0
    """A first phase on known codes alone."""
    latent: float = 1.0
    """Weight of the distance to the driver's known code."""
    drift: float = 0.01
    """Weight of how far the other person's code moves."""
    pixels: float = 2.0
    """Weight of the mean squared error on the face crop; weights so far are the paper's."""
    perceptual_crop: float = 0.3
    perceptual: float = 0.05
    identity: float = 0.3
    """Weight of one minus the cosine between the other person before and after."""
    surroundings: float = 0.0
    """Weight of how far the other's image changes outside the face; not in the paper."""
    contrastive: float = 0.0
    """Weight of motion codes of both outputs lying near the driver's (0.1 is usual)."""
    scale: float = 5.0
    margin: float = 0.2
    """By which cosine the positive must win in the contrastive term."""
    readings: float = 0.0
    """Weight of the first coordinates of motion being the landmarker's factors in units ..."""
    factors: float = 0.0
    """... and of these changes being read from the other's output; neither is in the paper."""
    explicit: float = 0.0
    """Share of the others who are moved by a change of factors at random instead of a driver."""


_HELD = {
    "start": "ffhq", "mapper_rate": 2.0, "readings": 1.0, "factors": 6.0, "explicit": 0.5,
    "identity": 1.0, "surroundings": 1.0, "latent": 0.0, "drift": 0.0,
    "pixels": 0.0, "perceptual": 0.0, "perceptual_crop": 0.0,
}  # fmt: skip
"""From the explicit moves on; known codes would shorten them, for readings are not exact."""

TRANSFER_PRESETS = {
    "conditioned": TransferTraining(**_HELD),
    "affine": TransferTraining(
        mapper=MapperConfig("low_rank", n_styles=16, motion_styles=9), **_HELD
    ),
    "paper": TransferTraining(
        encoder=MotionEncoderConfig(), mapper=MapperConfig("affine", init="paper"), batch=4,
        kimg=2000.0, learning_rate=1e-4, clip=0.0, latent_kimg=0.0, latent=0.0, drift=0.0,
        preview=256, generator="stylegan2-ffhq-config-f",
    ),
}  # fmt: skip
