"""Training of motion encoder and mapper on clips, with a frozen generator and known latent codes.

Nothing is labelled by hand. With another frame of the driver's clip as identity the output must be
the driver; with somebody else as identity it must still be that person, moved as the mapper's first
coordinates of motion say, which learn to be the landmarker's factors in units. A mapper may start
from an explicit control's moves. Codes of generated people are known, so a first phase needs no
images: `latent_kimg` of it cost a tenth of the rest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pytorch_optimizer import Ranger
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from xfer import losses
from xfer.assets import cache_folder
from xfer.backbones import fit
from xfer.checkpoints import read_checkpoint
from xfer.control import Control
from xfer.data.clips import Clips, fingerprint, open_clips, sample_pair
from xfer.data.synthesize import UNITS
from xfer.encoders import MotionEncoder
from xfer.errors import BadValue
from xfer.landmarker import FACTORS, read_factors
from xfer.mapper import LowRankMapper, Mapper
from xfer.media.images import to_tensor
from xfer.model import Transfer
from xfer.recognition import frozen, open_measures
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.training.augment import degrade
from xfer.training.config import TransferTraining
from xfer.training.distributed import World, numpy_rng, rng
from xfer.training.loop import Task, train
from xfer.training.train_control import latent_covariance, outside_face

FACE_ROWS, FACE_COLUMNS = (55, 243), (32, 220)
"""The face in an aligned image of 256 px, as in the paper."""
N_FACTORS = len(FACTORS)
SAME_TERMS = ("pixels", "perceptual_crop", "perceptual", "contrastive")
"""Terms for which the driver's own person is rendered too."""
MOST_READ = 4000
"""People to whom the reading of an identity's own motion is fitted."""
Units = Float[Tensor, "batch n_factors"]
"""Pose and expression, or a change of them, each factor over its unit."""


class TransferBatch(NamedTuple):
    """What one step sees."""

    driver: Image
    photo: Image
    """The driver as the motion encoder sees it: degraded."""
    stranger: Image
    """A frame of the other person."""
    driver_w: WPlus
    same_w: WPlus
    """Another frame of the driver's clip."""
    other_w: WPlus
    """A frame of another person."""
    readings: Float[Tensor, "batch 3 n_factors"]
    """Of driver, same and other, in units."""
    change: Units
    """A change at random, for the others who are moved by it and not by a driver."""
    is_explicit: Bool[Tensor, " batch"]


class TransferTask(Task):
    """Motion encoder and mapper learn; everything that renders and measures is frozen.

    Args:
        data: Clips with codes and factors for every frame; each folder gives a like share of the
            pairs. People with one frame are drivers, others, and themselves.
        measures: As `open_measures` gives them.
        start: Whose control's moves the mapper starts from, and with `keep_encoder` whose encoder.

    Raises:
        BadValue: The mapper has too few coordinates; `start` lacks a control, or a fitting encoder
            where it is kept; the generator takes other codes, or did not make the data.
    """

    name = "transfer"

    def __init__(
        self,
        config: TransferTraining,
        data: Sequence[Clips],
        generator: nn.Module,
        measures: dict[str, nn.Module],
        start: Transfer | None = None,
        world: World | None = None,
    ):
        self.data = [(clips, clips.split("train")) for clips in data]
        device = (world or World()).device
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            self.encoder = MotionEncoder(config.encoder).to(device)
            self.mapper = Mapper.build(config.mapper).to(device)
        self._check(generator, config.generator)
        self.has_factors = bool(start or config.readings or config.factors or config.explicit)
        kind, rank = config.mapper.kind, config.mapper.rank
        if self.has_factors and (kind == "affine" or rank < N_FACTORS):
            wanted = f"a mapper low_rank or conditioned, of rank {N_FACTORS} or more"
            raise BadValue(f"start, readings, factors, explicit need {wanted}; got {kind}, {rank}")
        self.centre = torch.zeros(N_FACTORS, device=device)
        if start is not None:
            if start.control is None:
                raise BadValue(f"start requires weights with a control; {config.start} has none")
            self.centre = start_from(self.mapper, start.control, *self._people()).to(device)
            self.mapper.bias.requires_grad_(False)  # where nothing is wanted, nothing moves
        if config.keep_encoder:
            self._keep_encoder(start)
        self.generator = frozen(generator, device)
        self.measures = {name: frozen(network, device) for name, network in measures.items()}
        self.spread = latent_spread(self.generator)
        self.outside = outside_face(32).to(device)
        networks = {"motion_encoder": self.encoder, "mapper": self.mapper}
        learned = {n: p for n, p in self.mapper.named_parameters() if p.requires_grad}
        fast = [learned.pop(name) for name in list(learned) if "read_motion" in name]
        rate = config.learning_rate
        groups = [
            {"params": [*self.encoder.parameters(), *fast], "lr": rate},
            # Their gradients are far smaller than Ranger's usual eps, which would stop them.
            {"params": [*learned.values()], "lr": rate * config.mapper_rate, "eps": 1e-12},
        ]
        own = [generator] if isinstance(generator, Generator) else []  # no fetched asset
        ranger = {"all": Ranger(groups, rate)}
        super().__init__(config, networks, ranger, list(networks), world, frozen=own)

    def _check(self, generator: nn.Module, name: str) -> None:
        """Raise `BadValue` where networks or data are made for another generator."""
        model = Transfer(generator, self.encoder, self.mapper)
        for clips, pool in self.data:
            if clips.generator not in (None, name):
                made = f"{clips.folder} was generated by {clips.generator}"
                raise BadValue(f"{made}, which training on it requires; got {name}")
            if pool and (code := clips.w_plus(pool[0], 0)) is not None:
                model.check_codes(code.shape, f"{clips.folder} has")

    @torch.no_grad()
    def _keep_encoder(self, start: Transfer | None) -> None:
        """Go on from a motion encoder, and from how motion is read from its code and identities."""
        encoder, mapper = (start.motion_encoder, start.mapper) if start else (None, None)
        if encoder is None or encoder.config != self.encoder.config or mapper is None:
            raise BadValue("keep_encoder requires a start with a motion encoder of these sizes")
        self.encoder.load_state_dict(encoder.state_dict())
        for name in ("read_motion", "read_identity"):
            theirs = dict(getattr(mapper, name).named_parameters())
            for key, ours in getattr(self.mapper, name).named_parameters():
                ours[:N_FACTORS] = theirs[key][:N_FACTORS]

    def _people(self) -> tuple[WPlus, Float[Tensor, "people n_factors"]]:
        """Codes of the training people of the first folder, and their factors in units."""
        clips, pool = self.data[0][0], self.data[0][1][:MOST_READ]
        codes = np.stack([clips.w_plus(clip, 0) for clip in pool])
        return torch.from_numpy(codes), torch.from_numpy(
            np.stack([clips.factors(clip, 0) / UNITS for clip in pool])
        )

    def batch(self, step: int) -> TransferBatch:
        """Pairs of frames, their codes and readings, and changes at random."""
        rows, seed = [], self.config.seed
        for sample in self.samples:
            random = numpy_rng(seed, "photo", step, sample)
            clips, pool = self.data[random.integers(len(self.data))]
            frames = driver, _, other = sample_pair(pool, seed, step, sample)
            codes = [clips.w_plus(*frame) for frame in frames]
            if any(code is None for code in codes):
                names = f"'{driver[0].name}' or '{other[0].name}'"
                raise BadValue(f"training needs a code for every frame; {names} has none")
            readings = np.stack([clips.factors(*frame) / UNITS for frame in frames])
            image = clips.image(*driver)
            images = (image, degrade(image, random), clips.image(*other))
            is_explicit = random.random() < self.config.explicit
            rows.append((*images, *codes, readings, random_change(random), is_explicit))
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        return TransferBatch(*map(to_tensor, columns[:3]), *map(torch.from_numpy, columns[3:]))

    def step(self, step: int, batch: TransferBatch) -> dict[str, Tensor]:
        batch = TransferBatch(*(part.to(self.world.device) for part in batch))
        motion, wanted, terms = self.encoder(batch.photo), batch.change, {}
        same_w = self.mapper(batch.same_w, motion)
        if self.has_factors:
            change, reading_terms = self.changes(motion, batch)
            terms |= reading_terms if self.config.readings else {}
            # What is wanted is not learned from images: else the less is wanted the better.
            change = change.detach() if self.config.readings else change
            cross_w = self.mapper.moved(batch.other_w, change)
            wanted = change[:, :N_FACTORS].detach().clamp(-3, 3)
        else:
            cross_w = self.mapper(batch.other_w, motion)
        terms |= self.latent_terms(same_w, cross_w, batch)
        if step * self.config.batch >= self.config.latent_kimg * 1000:
            terms |= self.image_terms(same_w, cross_w, motion, wanted, batch)
        self.update("all", self.weighted(terms))
        return terms

    def changes(
        self, motion: WPlus, batch: TransferBatch
    ) -> tuple[Float[Tensor, "batch rank"], dict[str, Tensor]]:
        """The other's change of motion, and how far coordinates are from what was read."""
        drivers = self.mapper.read_motion(motion.flatten(1))
        own = self.mapper.own_motion(torch.cat([batch.same_w, batch.other_w]))
        same, other = own.chunk(2)
        read = torch.stack([drivers, same, other], 1)[..., :N_FACTORS]
        wanted = batch.readings - self.centre
        explicit = F.pad(batch.change, (0, drivers.shape[1] - N_FACTORS))
        change = torch.where(batch.is_explicit[:, None], explicit, drivers - other)
        return change, {"readings": F.smooth_l1_loss(read, wanted)}

    def latent_terms(
        self, same_w: WPlus, cross_w: WPlus, batch: TransferBatch
    ) -> dict[str, Tensor]:
        """The driver's own code is known; of the other's, that it lies near the person's."""
        return {
            "latent": (same_w - batch.driver_w).square().mean() / self.spread,
            "drift": (cross_w - batch.other_w).square().mean() / self.spread,
        }

    def image_terms(
        self, same_w: WPlus, cross_w: WPlus, motion: WPlus, wanted: Units, batch: TransferBatch
    ) -> dict[str, Tensor]:
        """The paper's losses on previews, and ours; a term of weight 0 is not computed."""
        config, size, terms = self.config, self.config.preview, {}
        stranger = fit(batch.stranger, size)
        cross = self.generator.preview(cross_w, size)
        if any(getattr(config, name) for name in SAME_TERMS):
            same, driver = self.generator.preview(same_w, size), fit(batch.driver, size)
            crops = face_crop(same), face_crop(driver)
        if config.pixels:
            terms["pixels"] = F.mse_loss(*crops)
        if config.perceptual_crop:
            terms["perceptual_crop"] = losses.perceptual(self.measures["perceptual"], *crops)
        if config.perceptual:
            terms["perceptual"] = losses.perceptual(self.measures["perceptual"], same, driver)
        if config.identity:
            terms["identity"] = losses.identity_distance(self.measures["identity"], cross, stranger)
        if config.contrastive:
            same_m, cross_m, other_m = self.encoder(torch.cat([same, cross, stranger])).chunk(3)
            terms["contrastive"] = losses.contrastive(
                same_m, cross_m, motion, other_m, config.scale, config.margin
            )
        if config.factors:
            units = torch.from_numpy(UNITS).to(cross.device)
            found = read_factors(*self.measures["landmarker"](cross)) / units
            terms["factors"] = F.smooth_l1_loss(found, batch.readings[:, 2] + wanted)
        if config.surroundings:
            low = F.adaptive_avg_pool2d(cross - stranger, 32) * self.outside
            terms["surroundings"] = low.square().sum() / (3 * self.outside.sum() * len(low))
        return terms


@torch.no_grad()
def start_from(
    mapper: LowRankMapper,
    control: Control,
    codes: WPlus,
    readings: Float[Tensor, "people n_factors"],
) -> Float[Tensor, " n_factors"]:
    """A control's moves as the mapper's first directions, and people's motion read from codes.

    A person's own motion is read linearly: from fine styles, which moves leave alone, what the
    unmoved face shows (ridge regression), and from the other styles what moves have added to it.

    Args:
        codes: Of people as the generator draws them, the same w in all styles.
        readings: Their factors in units.

    Returns:
        What all readings have in common; coordinates leave it out.
    """
    styles, w_dim = control.config.n_motion_styles, control.config.w_dim
    if (mapper.config.moved, mapper.config.w_dim) != (styles, w_dim):
        must = f"the control and a mapper that starts from it move {styles} styles of {w_dim}"
        raise BadValue(f"{must}; got {mapper.config.moved} of {mapper.config.w_dim}")
    fine = mapper.config.n_styles - styles
    ridge = RidgeCV(np.logspace(-1, 4, 11)).fit(codes[:, styles:].mean(1).numpy(), readings.numpy())
    added = torch.linalg.pinv(control.directions.flatten(1)).T.unflatten(1, (styles, w_dim))
    unmoved = torch.from_numpy(ridge.coef_).to(added) - added.sum(1)
    read = torch.cat([added, (unmoved / fine)[:, None].expand(-1, fine, -1)], 1)
    mapper.read_identity.weight.zero_()[:N_FACTORS] = read.flatten(1)
    mapper.write[..., :N_FACTORS] = control.directions.permute(1, 2, 0)
    return torch.from_numpy(ridge.intercept_).to(added)


def random_change(random: np.random.Generator) -> Float[np.ndarray, "n_factors"]:
    """Half of the time one factor over its whole range, else all of them a little, in units."""
    if random.random() < 0.5:
        one = np.arange(N_FACTORS) == random.integers(N_FACTORS)
        return (one * random.uniform(-2.5, 2.5)).astype(np.float32)
    return random.normal(0, 0.8, N_FACTORS).astype(np.float32)


def face_crop(image: Image) -> Float[Tensor, "batch 3 rows columns"]:
    """The face in aligned images, without most of hair and background."""
    scale = image.shape[2] / 256
    top, bottom, left, right = (round(at * scale) for at in (*FACE_ROWS, *FACE_COLUMNS))
    return image[:, :, top:bottom, left:right]


@torch.no_grad()
def latent_spread(generator: nn.Module) -> float:
    """Variance of w around its mean, the measure of distances between codes."""
    w = generator.mapping(z_from_seeds(range(1000), generator.z_dim).to(generator.w_mean))
    return float((w - generator.w_mean).square().mean())


def train_transfer(
    config: TransferTraining,
    data: Sequence[str] = (),
    folder: str | Path | None = None,
    device: str = "auto",
) -> Path:
    """Train motion encoder and mapper; returns the weights' path.

    Args:
        data: Folders of people and clips with known codes, people first, as by `xfer synthesize`.
        folder: Of the run; by default in the cache folder.
    """
    data = data or [str(cache_folder() / "data" / name) for name in ("people", "clips")]
    generator = Generator.load(config.generator)
    perceptual = config.perceptual + config.perceptual_crop
    measures = open_measures(perceptual, config.identity, config.factors)
    start = Transfer.load(config.start) if config.start else None
    if start is not None and start.asset not in (None, config.generator):
        raise BadValue(f"start must move {config.generator}; its control moves {start.asset}")
    clips = [open_clips(place) for place in data]
    task = TransferTask(config, clips, generator, measures, start, World.join(device))
    inputs = {place: fingerprint(place) for place in data} | {"generator": config.generator}
    inputs |= {name: type(network).__name__ for name, network in measures.items()}
    weights = train(task, folder, inputs)
    if start is not None:
        add_control(weights, generator, start.control.config.bound)
    return weights


@torch.no_grad()
def add_control(weights: Path, generator: Any, bound: float) -> None:
    """Store beside a trained mapper its moves by named factors, for explicit control."""
    checkpoint = read_checkpoint(weights)
    encoder, mapper = MotionEncoder.load(checkpoint), Mapper.load(checkpoint)
    control = Control.from_mapper(mapper, latent_covariance(generator).inverse().float(), bound)
    Transfer(generator, encoder, mapper, control=control).save(weights, checkpoint.facts)
