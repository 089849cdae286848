"""Training of motion encoder and mapper on clips, with a frozen generator and known latent codes.

Nothing is labelled. With another frame of the driver's clip as identity the output must be the
driver; with somebody else as identity it must still be that person. Codes of generated people are
known, so a first phase needs no images: `latent_kimg` of it cost a tenth of the rest.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pytorch_optimizer import Ranger
from torch import Tensor, nn

from xfer import losses
from xfer.assets import cache_folder
from xfer.backbones import fit
from xfer.data.clips import Clip, Clips, fingerprint, open_clips, sample_pair
from xfer.encoders import MotionEncoder
from xfer.errors import BadValue
from xfer.landmarker import FACTOR_UNITS, FACTORS, read_factors
from xfer.mapper import build_mapper
from xfer.media.images import to_tensor
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator
from xfer.training.augment import degrade
from xfer.training.config import TransferTraining
from xfer.training.distributed import World, numpy_rng, rng
from xfer.training.loop import Task, train
from xfer.training.train_inverter import frozen, latent_spread, open_measures

FACE_ROWS, FACE_COLUMNS = (55, 243), (32, 220)
"""The face in an aligned image of 256 px, as in the paper."""


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
    motion: Float[Tensor, "batch n_factors"]
    """Factors that the other person shows with the driver's motion."""


class TransferTask(Task):
    """Motion encoder and mapper learn; everything that renders and measures is frozen.

    Args:
        clips: With codes for every frame.
        measures: As `open_measures` gives them.
    """

    name = "transfer"

    def __init__(
        self,
        config: TransferTraining,
        clips: Clips,
        generator: nn.Module,
        measures: dict[str, nn.Module],
        world: World | None = None,
    ):
        self.clips, self.train_clips = clips, clips.split("train")
        device = (world or World()).device
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            self.encoder = MotionEncoder(config.encoder).to(device)
            self.mapper = build_mapper(config.mapper).to(device)
        self.generator = frozen(generator, device)
        self.measures = {name: frozen(network, device) for name, network in measures.items()}
        self.spread = latent_spread(self.generator)
        networks = {"motion_encoder": self.encoder, "mapper": self.mapper}
        learned = [p for network in networks.values() for p in network.parameters()]
        optimiser = Ranger(learned, lr=config.learning_rate)
        super().__init__(config, networks, {"all": optimiser}, list(networks), world)
        self.neutral = lru_cache(maxsize=None)(self._neutral)

    def batch(self, step: int) -> TransferBatch:
        """Pairs of frames, their codes, and the motion asked of the other person."""
        rows = []
        for sample in self.samples:
            driver, same, other = sample_pair(self.train_clips, self.config.seed, step, sample)
            image = self.clips.image(*driver)
            photo = degrade(image, numpy_rng(self.config.seed, "photo", step, sample))
            codes = [self.clips.w_plus(*frame) for frame in (driver, same, other)]
            if any(code is None for code in codes):
                raise BadValue(
                    f"training needs a code for every frame, and '{driver[0].name}' or "
                    f"'{other[0].name}' has none; invert the frames or use generated clips"
                )
            stranger = self.clips.image(*other)
            rows.append((image, photo, stranger, *codes, self._motion(driver, other[0])))
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        return TransferBatch(*map(to_tensor, columns[:3]), *map(torch.from_numpy, columns[3:]))

    def _motion(self, driver: tuple[Clip, int], other: Clip) -> Float[np.ndarray, "n_factors"]:
        """Pose is the driver's; expression leaves the other's neutral as it does the driver's."""
        absolute, clip = self.clips.factors(*driver), driver[0]
        relative = self.neutral(other) + absolute - self.neutral(clip)
        is_pose = np.array([name in ("yaw", "pitch") for name in FACTORS])
        return np.where(is_pose, absolute, relative).astype(np.float32)

    def _neutral(self, clip: Clip) -> Float[np.ndarray, "n_factors"]:
        return np.median(self.clips.array(clip, "factors"), axis=0)

    def step(self, step: int, batch: TransferBatch) -> dict[str, Tensor]:
        batch = TransferBatch(*(part.to(self.world.device) for part in batch))
        motion = self.encoder(batch.photo)
        people = torch.cat([batch.same_w, batch.other_w])
        same_w, cross_w = self.mapper(people, motion.repeat(2, 1, 1)).chunk(2)
        terms = self.latent_terms(same_w, cross_w, batch)
        if step * self.config.batch >= self.config.latent_kimg * 1000:
            terms |= self.image_terms(same_w, cross_w, motion, batch)
        self.update("all", self.weighted(terms))
        return terms

    def latent_terms(
        self, same_w: WPlus, cross_w: WPlus, batch: TransferBatch
    ) -> dict[str, Tensor]:
        """The driver's own code is known; of the other's, that it lies near the person's."""
        return {
            "latent": (same_w - batch.driver_w).square().mean() / self.spread,
            "drift": (cross_w - batch.other_w).square().mean() / self.spread,
        }

    def image_terms(
        self, same_w: WPlus, cross_w: WPlus, motion: WPlus, batch: TransferBatch
    ) -> dict[str, Tensor]:
        """The paper's losses on previews; a term of weight 0 is not computed."""
        config, size, terms = self.config, self.config.preview, {}
        same, cross = self.generator.preview(torch.cat([same_w, cross_w]), size).chunk(2)
        driver = fit(batch.driver, size)
        if config.pixels:
            terms["pixels"] = F.mse_loss(face_crop(same), face_crop(driver))
        if config.perceptual_crop:
            network = self.measures["perceptual"]
            terms["perceptual_crop"] = losses.perceptual(
                network, face_crop(same), face_crop(driver)
            )
        if config.perceptual:
            terms["perceptual"] = losses.perceptual(self.measures["perceptual"], same, driver)
        if config.identity:
            recogniser = self.measures["identity"]
            with torch.no_grad():
                code = recogniser(fit(batch.stranger, size))
            terms["identity"] = losses.identity_distance(recogniser(cross), code)
        if config.contrastive:
            images = torch.cat([same, cross, fit(batch.stranger, size)])
            same_m, cross_m, other_m = self.encoder(images).chunk(3)
            terms["contrastive"] = losses.contrastive(
                same_m, cross_m, motion, other_m, config.scale, config.margin
            )
        if config.factors:
            found = read_factors(*self.measures["landmarker"](cross))
            units = torch.tensor(list(FACTOR_UNITS.values()), device=found.device)
            away = (found - batch.motion) / units
            terms["factors"] = F.smooth_l1_loss(away, torch.zeros_like(away))
        return terms


def face_crop(image: Image) -> Float[Tensor, "batch 3 rows columns"]:
    """The face in aligned images, without most of hair and background."""
    scale = image.shape[2] / 256
    top, bottom, left, right = (round(at * scale) for at in (*FACE_ROWS, *FACE_COLUMNS))
    return image[:, :, top:bottom, left:right]


def train_transfer(
    config: TransferTraining,
    data: str | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Train motion encoder and mapper; returns the weights' path.

    Args:
        data: Folder of clips with known codes; by default that of `xfer synthesize`.
        folder: Of the run; by default in the cache folder.
    """
    data = data or str(cache_folder() / "data" / "clips")
    clips, generator = open_clips(data), Generator.load(config.generator)
    perceptual = config.perceptual + config.perceptual_crop
    measures = open_measures(perceptual, config.identity, config.factors)
    task = TransferTask(config, clips, generator, measures, World.join(device))
    inputs = {"clips": fingerprint(data), "generator": config.generator}
    inputs |= {name: type(network).__name__ for name, network in measures.items()}
    return train(task, folder, inputs, report)
