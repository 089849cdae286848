"""Training of the identity encoder: photo and current reconstruction to offsets in W+, in rounds.

It learns from people whose codes are known: first by their codes alone, which needs no image, then
through previews as well. Photos are degraded at random, because no real one is ever seen.

Sources: Alaluf et al., "ReStyle", ICCV 2021; Tov et al., "Designing an Encoder for StyleGAN Image
Manipulation" (e4e), 2021: one w, and offsets of styles that are kept small.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xfer import losses
from xfer.assets import cache_folder
from xfer.backbones import fit
from xfer.data.clips import Clips, open_clips
from xfer.encoders import IdentityEncoder
from xfer.errors import MissingFile
from xfer.media.images import to_tensor
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.training.augment import degrade
from xfer.training.config import InverterTraining
from xfer.training.distributed import World, epoch_order, numpy_rng, rng
from xfer.training.loop import Task, train
from xfer.training.resume import fingerprint


class Batch(NamedTuple):
    """What one step sees."""

    image: Image
    photo: Image
    """The same, degraded: what the encoder sees."""
    w_plus: WPlus


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

    def batch(self, step: int) -> Batch:
        rows, seed = [], self.config.seed
        for sample in self.samples:
            position = step * self.config.batch + sample
            clips, clip, i = self.frames[epoch_order(seed, position, len(self.frames))]
            image = clips.image(clip, i)
            photo = degrade(image, numpy_rng(seed, "photo", step, sample))
            rows.append((image, photo, clips.w_plus(clip, i)))
        images, photos, codes = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(to_tensor(images), to_tensor(photos), torch.from_numpy(codes))

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        batch = Batch(*(part.to(self.world.device) for part in batch))
        by_code_alone = step * self.config.batch < self.config.latent_kimg * 1000
        w_plus, current = (x.expand(len(batch.image), *x.shape[1:]) for x in self.start)
        reported = {}
        for number in range(1, self.config.rounds + 1):
            found = w_plus + self.encoder(batch.photo, current)
            terms = {
                "latent": (found - batch.w_plus).square().mean() / self.spread,
                "style_spread": losses.style_spread(found) / self.spread,
            }
            last_by_code = by_code_alone and number == self.config.rounds
            with torch.set_grad_enabled(not by_code_alone):
                shown = None if last_by_code else self.encoder.render(self.generator, found)
            if not by_code_alone:
                terms |= self.image_terms(shown, fit(batch.image, shown.shape[2]))
            loss = sum(getattr(self.config, name) * term for name, term in terms.items())
            self.update("all", loss)
            reported |= {f"{name}_{number}": term for name, term in terms.items()}
            w_plus, current = found.detach(), None if shown is None else shown.detach()
        return reported

    def image_terms(self, shown: Image, image: Image) -> dict[str, Tensor]:
        """How a reconstruction differs from the clean image; terms of weight 0 are left out."""
        config = self.config
        terms = {"l1": F.l1_loss(shown, image), "l2": F.mse_loss(shown, image)}
        if config.perceptual:
            terms["perceptual"] = losses.perceptual(self.measures["perceptual"], shown, image)
        if config.identity:
            recogniser = self.measures["identity"]
            with torch.no_grad():
                person = recogniser(fit(image, 256))
            terms["identity"] = losses.identity_distance(recogniser(fit(shown, 256)), person)
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
    from xfer.landmarker import LandmarkerTwin
    from xfer.perceptual import PerceptualFeatures
    from xfer.recognition import open_recogniser

    measures: dict[str, nn.Module] = {}
    if perceptual:
        measures["perceptual"] = PerceptualFeatures()
    if identity:
        recogniser = open_recogniser()
        if recogniser is None:
            raise MissingFile(
                "the identity term needs a recogniser and none is there: run "
                "`xfer weights fetch mobilefacenet`, train one, or set identity to 0"
            )
        measures["identity"] = recogniser
    if factors:
        measures["landmarker"] = LandmarkerTwin()
    return measures


def train_inverter(
    config: InverterTraining,
    data: Sequence[str] = (),
    folder: str | Path | None = None,
    device: str = "auto",
    report: Callable[[dict[str, Any]], None] | None = None,
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
    return train(task, folder, inputs, report)
