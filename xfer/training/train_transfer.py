"""Training of motion encoder and mapper, with a frozen generator and known latents of all frames.

Nothing is labelled. With another frame of the driver's own person as identity the output must be
the driver itself; with somebody else as identity it must still show them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer import losses
from xfer.axes import Image, WPlus
from xfer.encoders import MotionEncoder, MotionEncoderConfig
from xfer.errors import expect
from xfer.files import fill
from xfer.instruments import NO_READER, Instruments
from xfer.mapper import MapperConfig, build_mapper
from xfer.precision import autocast, full, half_dtype
from xfer.stylegan2.generator import Generator
from xfer.training.distributed import World
from xfer.training.randomness import normal, rng, sample_rngs
from xfer.training.ranger import Ranger
from xfer.training.session import Session
from xfer.training.shared_layers import share_layers
from xfer.training.transfer_clips import Drawn, TransferClips

SAME_TERMS = ("pixels", "perceptual_crop", "perceptual")
CROSS_TERMS = ("identity", "contrastive", "motion")
OPTIMISERS = {"adamw": torch.optim.AdamW, "ranger": Ranger}
FACE_ROWS, FACE_COLUMNS = (55, 243), (32, 220)
"""The face in an aligned picture of 256 px, as in the paper."""


@dataclass(frozen=True)
class TransferTraining:
    """Training of motion encoder and mapper. A term whose weight is 0 is not computed."""

    encoder: MotionEncoderConfig = field(
        default_factory=lambda: MotionEncoderConfig(
            resolution=64,
            channels=(16, 32, 64, 128),
            blocks=(1, 2, 2, 2),
            reduction=8,
            n_styles=10,
            w_dim=128,
            bottleneck=32,
            pool=4,
        )
    )
    mapper: MapperConfig = field(
        default_factory=lambda: MapperConfig(
            "conditioned", n_styles=10, w_dim=128, rank=64, gates=32
        )
    )
    seed: int = 0
    batch: int = 16
    total_kimg: float = 200.0
    tick_kimg: float = 4.0
    save_kimg: float = 20.0
    optimiser: str = "adamw"
    """adamw, or ranger as in the paper."""
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    crop: bool = True
    """Compare the face alone where the paper does; off: the whole picture."""
    pixels: float = 2.0
    """Weight of the mean squared error, on the crop."""
    perceptual_crop: float = 0.3
    perceptual: float = 0.05
    """Weight of the perceptual distance of whole pictures."""
    look: str = "both"
    """Whose features say how alike pictures look: both loss-side instruments', or one's."""
    recolour: float = 0.0
    """How far the driver's colours are changed at random before its motion is read, so that
    motions cannot tell who it is by them; 0: not at all, 0.5: strongly."""
    cross_person: bool = True
    """Show other people too; off: no term but those of the driver's own person."""
    identity: float = 0.3
    """Weight of the distance between the person shown and the inversion of the person asked."""
    contrastive: float = 0.0
    """Weight of motion codes of both outputs lying near the driver's (0.1 is usual)."""
    scale: float = 5.0
    """Of the cosines in the contrastive term."""
    margin: float = 0.2
    """By how much the positive must win in the contrastive term."""
    motion: float = 0.0
    """Weight of the distance between factors read in another person's output and in the driver.
    The reader has learned from true factors: an oracle for ablations, no self-supervision."""
    half: str = "auto"
    """Data type of convolutions: bfloat16, auto (that, where it is fast) or none."""

    def __post_init__(self):
        sizes = [(part.n_styles, part.w_dim) for part in (self.encoder, self.mapper)]
        expect(
            sizes[0] == sizes[1],
            f"encoder and mapper write equal codes; got {sizes[0]} and {sizes[1]}",
        )
        expect(
            self.optimiser in OPTIMISERS,
            f"optimiser is {' or '.join(OPTIMISERS)}; got {self.optimiser!r}",
        )
        expect(self.batch >= 2, f"batch statistics need at least two pictures; got {self.batch}")
        for name in (*SAME_TERMS, *CROSS_TERMS):
            expect(getattr(self, name) >= 0, f"{name} is at least 0; got {getattr(self, name)}")
        expect(
            any(getattr(self, name) for name in SAME_TERMS),
            f"one of {', '.join(SAME_TERMS)} must be above 0: nothing else teaches motion",
        )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that are computed."""
        names = SAME_TERMS + (CROSS_TERMS if self.cross_person else ())
        return tuple(name for name in names if getattr(self, name))


TRANSFER_PRESETS: dict[str, TransferTraining] = {
    "nano": TransferTraining(
        MotionEncoderConfig(
            resolution=32, channels=(16, 32, 48), blocks=(1, 1, 1), reduction=8, n_styles=8,
            w_dim=64, bottleneck=16, pool=4,
        ),
        MapperConfig("conditioned", n_styles=8, w_dim=64, rank=32, gates=16),
        total_kimg=20.0, tick_kimg=2.0, save_kimg=5.0,
    ),
    "small": TransferTraining(),
    "medium": TransferTraining(
        MotionEncoderConfig(
            resolution=128, channels=(32, 64, 128, 256), blocks=(2, 3, 6, 3), n_styles=12,
            w_dim=256, bottleneck=128,
        ),
        MapperConfig("conditioned", n_styles=12, w_dim=256, rank=128, gates=64),
        batch=32, total_kimg=2000.0, learning_rate=2e-4,
    ),
    "paper": TransferTraining(
        MotionEncoderConfig(),
        MapperConfig("affine", init="paper"),
        batch=4, total_kimg=2000.0, optimiser="ranger", learning_rate=1e-4,
    ),
}  # fmt: skip


def face_crop(image: Image) -> Float[Tensor, "batch 3 rows columns"]:
    """The face in aligned pictures, without most of hair and background."""
    edges = [round(at * image.shape[2] / 256) for at in (*FACE_ROWS, *FACE_COLUMNS)]
    top, bottom, left, right = edges
    return image[:, :, top:bottom, left:right]


class TransferTrainer:
    """The two networks that learn, and the frozen ones that draw and measure."""

    def __init__(
        self,
        config: TransferTraining,
        generator: Generator,
        measure: Instruments,
        world: World,
        start: Mapping[str, nn.Module] | None = None,
    ):
        sizes = (generator.n_styles, generator.w_dim)
        expect(
            (config.encoder.n_styles, config.encoder.w_dim) == sizes,
            f"the generator takes {sizes[0]} styles of {sizes[1]}; set encoder.n_styles, "
            "encoder.w_dim, mapper.n_styles and mapper.w_dim to them",
        )
        self.config, self.world = config, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            parts = self.build(config, generator)
        for name, network in (start or {}).items():
            fill(parts[name], network.state_dict())
        self.samples = world.samples(config.batch)
        place = {"device": world.device, "memory_format": torch.channels_last}
        self.networks = nn.ModuleDict(parts).to(**place).train()
        share_layers(self.networks, world)
        expect(
            measure.reader is not None or "motion" not in config.terms,
            f"motion={config.motion:g} needs a reader: {NO_READER}",
        )
        self.generator, self.recogniser, self.reader = (
            None if part is None else part.to(**place).eval().requires_grad_(False)
            for part in (generator, measure.recogniser, measure.reader)
        )
        self.look = measure.look(config.look).to(**place)
        self.optimiser = OPTIMISERS[config.optimiser](
            self.networks.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.half = half_dtype(config.half, world.device)

    def autocast(self) -> torch.autocast:
        """Half precision, by choice, for the networks within."""
        return autocast(self.half, self.world.device)

    def build(self, config: TransferTraining, generator: Generator) -> dict[str, nn.Module]:
        """The networks that learn."""
        return {
            "motion_encoder": MotionEncoder(config.encoder),
            "mapper": build_mapper(config.mapper),
        }

    def recoloured(self, step: int, images: Image) -> Image:
        """Pictures with other contrast and brightness in every channel."""
        if not self.config.recolour:
            return images
        rngs = sample_rngs(self.config.seed, "recolour", step, self.samples)
        gain, shift = (normal(rngs, 6).to(images) * self.config.recolour).chunk(2, dim=1)
        return images * gain.exp()[:, :, None, None] + shift[:, :, None, None]

    def loss(self, step: int, drawn: Drawn) -> tuple[Tensor, dict[str, Tensor]]:
        """What one step is trained on: the weighted sum, and its terms before weighting."""
        people = [drawn.identity, drawn.other] if self.config.cross_person else [drawn.identity]
        outputs, code = self.outputs(step, drawn, people)
        terms = self.same_terms(outputs[0], drawn.driver)
        if self.config.cross_person:
            terms |= self.cross_terms(*outputs, code, drawn)
        loss = sum(getattr(self.config, name) * value for name, value in terms.items())
        return loss, {name: value.detach() for name, value in terms.items()}

    def outputs(
        self, step: int, drawn: Drawn, people: Sequence[WPlus]
    ) -> tuple[Sequence[Image], WPlus | None]:
        """Each set of people with the drivers' motion, and the drivers' motion codes."""
        code = self.motion(self.recoloured(step, drawn.driver))
        latents = self.networks["mapper"](torch.cat(people), code.repeat(len(people), 1, 1))
        return self.draw(latents).chunk(len(people)), code

    def motion(self, images: Image) -> WPlus:
        """Motion codes."""
        with self.autocast():
            return full(self.networks["motion_encoder"](images))

    def draw(self, latents: WPlus) -> Image:
        """What the frozen generator shows."""
        return self.generator.synthesis(latents, half=self.half)

    def differ(self, output: Image, driver: Image) -> Tensor:
        """How different two pictures look to the instruments."""
        with self.autocast():
            with torch.no_grad():
                wanted = self.look(driver)
            return losses.feature_distance(self.look(output), wanted)

    def same_terms(self, output: Image, driver: Image) -> dict[str, Tensor]:
        """The driver's own person must give the driver itself."""
        found = {}
        crop = face_crop if self.config.crop else lambda image: image
        if self.config.pixels:
            found["pixels"] = F.mse_loss(crop(output), crop(driver))
        if self.config.perceptual_crop:
            found["perceptual_crop"] = self.differ(crop(output), crop(driver))
        if self.config.perceptual:
            found["perceptual"] = self.differ(output, driver)
        return found

    def cross_terms(
        self, same: Image, cross: Image, code: WPlus | None, drawn: Drawn
    ) -> dict[str, Tensor]:
        """Another person must stay that person, with the driver's motion."""
        config, found = self.config, {}
        if config.identity:
            with self.autocast():
                with torch.no_grad():
                    person = self.recogniser(self.draw(drawn.other))
                shown = self.recogniser(cross)
            found["identity"] = losses.identity_distance(shown, person)
        if config.contrastive:
            codes = self.motion(torch.cat([same, cross, drawn.other_frame])).chunk(3)
            found["contrastive"] = losses.contrastive(
                codes[0], codes[1], code, codes[2], config.scale, config.margin
            )
        if config.motion:
            count = len(self.reader.config.factors)
            read = [self.reader.standardised(image)[:, :count] for image in (cross, drawn.driver)]
            found["motion"] = F.mse_loss(*read)
        return found


def train_transfer(
    config: TransferTraining,
    clips: TransferClips,
    generator: Generator,
    measure: Instruments,
    folder: str | Path,
    world: World | None = None,
    trainer_type: type[TransferTrainer] = TransferTrainer,
    start: Mapping[str, nn.Module] | None = None,
) -> Iterator[dict[str, Any]]:
    """Train, yielding one record a tick.

    Args:
        generator, measure: Frozen; the instruments are the copy that serves in losses.
        start: Networks of the same names and sizes whose weights a new run begins with.
    """
    world = world or World()
    trainer = trainer_type(config, generator, measure, world, start)
    state = {"networks": trainer.networks, "optimiser": trainer.optimiser}
    with Session(folder, config, state, world, score="loss") as session:
        for step in session.steps():
            drawn = clips.draw(step, config.batch, world.device, trainer.samples)
            loss, terms = trainer.loss(step, drawn)
            if session.update(trainer.optimiser, trainer.networks, loss):
                session.count(loss=loss.detach(), **terms)
            if record := session.tick():
                yield record
