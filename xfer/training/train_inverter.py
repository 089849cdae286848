"""Training of the identity encoder: photo and current reconstruction to offsets in W+, in rounds.

It learns from people whose codes are known: first by their codes alone, which needs no image, then
through previews as well. Photos are degraded at random, because no real one is ever seen.

Sources: Alaluf et al., "ReStyle", ICCV 2021; Tov et al., "Designing an Encoder for StyleGAN Image
Manipulation" (e4e), 2021: one w, and offsets of styles that are kept small.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor, nn

from xfer import losses
from xfer.assets import cache_folder
from xfer.backbones import fit
from xfer.data.clips import Clip, Clips, fingerprint, open_clips
from xfer.encoders import IdentityEncoder
from xfer.errors import MissingFile
from xfer.landmarker import LandmarkerTwin
from xfer.media.images import to_tensor
from xfer.perceptual import PerceptualFeatures
from xfer.recognition import open_recogniser
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.training.augment import degrade
from xfer.training.config import InverterTraining
from xfer.training.distributed import World, epoch_order, numpy_rng, rng
from xfer.training.loop import Task, train


class InverterBatch(NamedTuple):
    """What one step sees."""

    image: Image
    photo: Image
    """The same, degraded: what the encoder sees."""
    w_plus: WPlus
    other: Image
    """Another frame, of the same clip where there is one: a reconstruction that is wrong."""
    other_w: WPlus
    from_mean: Bool[Tensor, " batch"]
    """Where the first phase starts: from the mean or from the other frame."""


class InverterTask(Task):
    """The encoder learns; generator and measures are frozen. Every round is an update.

    Args:
        data: Clips, of which the training frames with known codes are taken.
        measures: As `open_measures` gives them.
    """

    name = "inverter"

    def __init__(
        self,
        config: InverterTraining,
        data: Sequence[Clips],
        generator: nn.Module,
        measures: dict[str, nn.Module],
        world: World | None = None,
    ):
        self.frames = [
            (clips, clip, i)
            for clips in data
            for clip in clips.split("train")
            if clips.w_plus(clip, 0) is not None
            for i in range(clip.n_frames)
        ]
        if not self.frames:
            raise MissingFile("an inverter learns from known codes; make some by xfer synthesize")
        device = (world or World()).device
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            self.encoder = IdentityEncoder(config.encoder).to(device)
        self.generator = frozen(generator, device)
        self.measures = {name: frozen(network, device) for name, network in measures.items()}
        self.spread = latent_spread(self.generator)
        with torch.no_grad():
            self.start = self.encoder.start(self.generator)
        optimiser = torch.optim.Adam(self.encoder.parameters(), config.learning_rate)
        networks = {"identity_encoder": self.encoder}
        super().__init__(config, networks, {"all": optimiser}, list(networks), world)

    def batch(self, step: int) -> InverterBatch:
        rows, seed = [], self.config.seed
        for sample in self.samples:
            position = step * self.config.batch + sample
            random = numpy_rng(seed, "photo", step, sample)
            clips, clip, i = self.frames[epoch_order(seed, position, len(self.frames))]
            image, code = clips.image(clip, i), clips.w_plus(clip, i)
            photo, from_mean = degrade(image, random), random.random() < 0.5
            clips, clip, i = self._another(clips, clip, i, random)
            other, other_w = clips.image(clip, i), clips.w_plus(clip, i)
            rows.append((image, photo, code, other, other_w, from_mean))
        image, photo, code, other, other_w, from_mean = map(np.stack, zip(*rows, strict=True))
        return InverterBatch(
            to_tensor(image), to_tensor(photo), torch.from_numpy(code),
            to_tensor(other), torch.from_numpy(other_w), torch.from_numpy(from_mean),
        )  # fmt: skip

    def _another(
        self, clips: Clips, clip: Clip, i: int, random: np.random.Generator
    ) -> tuple[Clips, Clip, int]:
        if clip.n_frames > 1:
            return clips, clip, (i + int(random.integers(1, clip.n_frames))) % clip.n_frames
        return self.frames[random.integers(len(self.frames))]

    def step(self, step: int, batch: InverterBatch) -> dict[str, Tensor]:
        batch = InverterBatch(*(part.to(self.world.device) for part in batch))
        w_plus, current = self.start
        if step * self.config.batch < self.config.latent_kimg * 1000:
            from_mean = batch.from_mean[:, None, None]
            w_plus = torch.where(from_mean, w_plus, batch.other_w)
            other = fit(batch.other, current.shape[2])
            current = torch.where(from_mean[..., None], current, other)
            terms = self.latent_terms(w_plus + self.encoder(batch.photo, current), batch)
            self.update("all", self.weighted(terms))
            return terms
        w_plus, current = (x.expand(len(batch.image), *x.shape[1:]) for x in (w_plus, current))
        reported = {}
        for number in range(1, self.config.rounds + 1):
            found = w_plus + self.encoder(batch.photo, current)
            rendered = self.encoder.render(self.generator, found)
            terms = self.latent_terms(found, batch)
            terms |= self.image_terms(rendered, fit(batch.image, rendered.shape[2]))
            self.update("all", self.weighted(terms))
            reported |= {f"{name}_{number}": term for name, term in terms.items()}
            w_plus, current = found.detach(), rendered.detach()
        return reported

    def latent_terms(self, found: WPlus, batch: InverterBatch) -> dict[str, Tensor]:
        """Distance to the known code, and between styles, over the variance of w."""
        return {
            "latent": (found - batch.w_plus).square().mean() / self.spread,
            "style_spread": losses.style_spread(found) / self.spread,
        }

    def image_terms(self, rendered: Image, image: Image) -> dict[str, Tensor]:
        """How a reconstruction differs from the clean image; terms of weight 0 are left out."""
        config = self.config
        terms = {"l1": F.l1_loss(rendered, image), "l2": F.mse_loss(rendered, image)}
        if config.perceptual:
            terms["perceptual"] = losses.perceptual(self.measures["perceptual"], rendered, image)
        if config.identity:
            terms["identity"] = losses.identity_distance(self.measures["identity"], rendered, image)
        return terms


def frozen(network: nn.Module, device: torch.device) -> nn.Module:
    """A network that only measures or renders."""
    return network.to(device).eval().requires_grad_(False)


@torch.no_grad()
def latent_spread(generator: nn.Module) -> float:
    """Variance of w around its mean, the measure of distances between codes."""
    w = generator.mapping(z_from_seeds(range(1000), generator.z_dim).to(generator.w_mean))
    return float((w - generator.w_mean).square().mean())


def open_measures(perceptual: float, identity: float, factors: float = 0) -> dict[str, nn.Module]:
    """The frozen networks that terms of these weights need: nothing is opened for 0."""
    measures: dict[str, nn.Module] = {}
    if perceptual:
        measures["perceptual"] = PerceptualFeatures()
    if identity:
        recogniser = open_recogniser()
        if recogniser is None:
            raise MissingFile("no recogniser for the identity: xfer weights fetch mobilefacenet")
        measures["identity"] = recogniser
    if factors:
        measures["landmarker"] = LandmarkerTwin()
    return measures


def train_inverter(
    config: InverterTraining,
    data: Sequence[str] = (),
    folder: str | Path | None = None,
    device: str = "auto",
) -> Path:
    """Train the identity encoder; returns the weights' path.

    Args:
        data: Folders of people and clips with known codes; by default those of `xfer synthesize`.
        folder: Of the run; by default in the cache folder.
    """
    data = data or [str(cache_folder() / "data" / name) for name in ("people", "clips")]
    clips = [open_clips(place) for place in data]
    generator = Generator.load(config.generator)
    measures = open_measures(config.perceptual, config.identity)
    task = InverterTask(config, clips, generator, measures, World.join(device))
    inputs = {place: fingerprint(place) for place in data} | {"generator": config.generator}
    inputs |= {name: type(network).__name__ for name, network in measures.items()}
    return train(task, folder, inputs)
