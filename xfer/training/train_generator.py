"""Training of StyleGAN2: losses and schedule of Karras et al., 2020, configuration F.

Non-saturating logistic loss, lazy R1 and path length penalties, style mixing, averaged weights.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from xfer import losses
from xfer.assets import cache_folder
from xfer.data.clips import INDEX, open_clips
from xfer.errors import BadValue
from xfer.media.images import list_media, read_image, to_tensor
from xfer.shapes import Image, WPlus
from xfer.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from xfer.stylegan2.generator import Generator
from xfer.training.config import GeneratorTraining
from xfer.training.distributed import World, epoch_order, normal, rng, uniform
from xfer.training.loop import Task, train

Pixels = UInt8[np.ndarray, "height width 3"]


class FolderImages(Sequence):
    """The images of a folder, or the training frames of a folder of clips, brought to one size.

    Args:
        resolution: Edge in pixels; what is not square is cropped to its middle.
    """

    def __init__(self, folder: str | Path, resolution: int):
        self.resolution = resolution
        if (Path(folder) / INDEX).exists():
            clips = open_clips(folder)
            frames = [(clip, i) for clip in clips.split("train") for i in range(clip.n_frames)]
            self._read = lambda index: clips.image(*frames[index])
            self._count = len(frames)
        else:
            paths = list_media(Path(folder))
            self._read = lambda index: read_image(paths[index])
            self._count = len(paths)
        if not self._count:
            raise BadValue(f"{folder} holds no images to learn from; name a folder of images")

    def __len__(self) -> int:
        return self._count

    @lru_cache(maxsize=20_000)  # noqa: B019  one instance lives as long as its run
    def __getitem__(self, index: int) -> Pixels:
        image = PIL.Image.fromarray(self._read(index))
        size = (self.resolution, self.resolution)
        return np.asarray(PIL.ImageOps.fit(image, size, PIL.Image.Resampling.BOX))


class GeneratorTask(Task):
    """Generator against discriminator. A step has up to four updates; the penalties are lazy."""

    name = "generator"

    def __init__(
        self, config: GeneratorTraining, images: Sequence[Pixels], world: World | None = None
    ):
        self.images, device = images, (world or World()).device
        sizes = DiscriminatorConfig.beside(config.generator)
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            self.generator = Generator(config.generator).to(device)
            self.discriminator = Discriminator(sizes).to(device)
        self.running = nn.Module()
        self.running.register_buffer("path_length", torch.zeros((), device=device))
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        networks["running"] = self.running
        optimisers = {
            "generator": _adam(self.generator, config.learning_rate, config.path_interval),
            "discriminator": _adam(self.discriminator, config.learning_rate, config.r1_interval),
        }
        group = min(sizes.stddev_group, config.batch)
        super().__init__(config, networks, optimisers, ["generator"], world, group)

    def batch(self, step: int) -> Image:
        """The step's real images: every epoch has an order of its own; half are mirrored."""
        found = []
        for sample, generator in zip(self.samples, self.rngs("mirror", step), strict=True):
            position = step * self.config.batch + sample
            image = self.images[epoch_order(self.config.seed, position, len(self.images))]
            mirrored = self.config.mirror and torch.rand((), generator=generator) < 0.5
            found.append(image[:, ::-1] if mirrored else image)
        return to_tensor(np.stack(found))

    def step(self, step: int, batch: Image) -> dict[str, Tensor]:
        config, generator, discriminator = self.config, self.generator, self.discriminator
        real = batch.to(self.world.device)

        discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = self.generate(step, "discriminator")[0]
        real_logits, fake_logits = discriminator(real), discriminator(fake)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        self.update("discriminator", loss)
        terms = {"discriminator": loss, "real": real_logits.mean(), "fake": fake_logits.mean()}

        if config.r1_interval and step % config.r1_interval == 0:
            real.requires_grad_()
            penalty = losses.r1_penalty(discriminator(real), real)
            self.update("discriminator", penalty * (config.r1_gamma / 2 * config.r1_interval))
            terms["r1"] = penalty

        discriminator.requires_grad_(False)
        fake, w_plus = self.generate(step, "generator")
        loss = losses.generator_loss(discriminator(fake))
        self.update("generator", loss)
        terms["generator"] = loss
        self.follow(generator.w_mean, w_plus[:, 0].mean(0), 0.005)

        if config.path_interval and step % config.path_interval == 0:
            fake, w_plus = self.generate(step, "path", halves=2)
            rngs = self.rngs("path noise", step)[: len(fake)]
            noise = normal(rngs, *fake.shape[1:]).to(fake)
            lengths = losses.path_lengths(fake, w_plus, noise)
            self.follow(self.running.path_length, lengths.mean(), 0.01)
            penalty = losses.path_length_penalty(lengths, self.running.path_length)
            self.update("generator", penalty * (config.path_weight * config.path_interval))
            terms["path_length"] = lengths.mean()
        return terms

    def generate(self, step: int, purpose: str, halves: int = 1) -> tuple[Image, WPlus]:
        """Images of random styles, mixed at a random layer for some, with random noise.

        Args:
            halves: 2 for half of the batch.
        """
        rngs, generator = self.rngs(purpose, step), self.generator
        rngs = rngs[: max(1, len(rngs) // halves)]
        z = torch.cat([normal(rngs, generator.z_dim), normal(rngs, generator.z_dim)])
        chance, place = uniform(rngs), uniform(rngs)
        noise = [normal(rngs, 1, l.resolution, l.resolution) for l in generator.layers]  # noqa: E741
        cut = (1 + place * (generator.n_styles - 1)).long()
        cut = torch.where(chance < self.config.style_mixing, cut, generator.n_styles)
        first = (torch.arange(generator.n_styles) < cut[:, None]).to(self.world.device)
        w = generator.mapping(z.to(self.world.device)).chunk(2)
        w_plus = torch.where(first[..., None], *(generator.to_w_plus(part) for part in w))
        return generator.synthesis(w_plus, [n.to(self.world.device) for n in noise]), w_plus

    @torch.no_grad()
    def follow(self, running: Tensor, value: Tensor, share: float) -> None:
        """Move a running mean towards the value of all processes."""
        value = value.detach().clone()
        self.world.mean_([value])
        running.lerp_(value, share)


def train_generator(
    config: GeneratorTraining,
    data: str | Path | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
) -> Path:
    """Train StyleGAN2; returns the weights' path.

    Args:
        data: Folder of aligned images or of clips; by default people of `xfer synthesize`.
        folder: Of the run; by default in the cache folder.
    """
    data = data or cache_folder() / "data" / "people"
    images = FolderImages(data, config.generator.resolution)
    inputs = {"images": f"{data}, {len(images)} images"}
    return train(GeneratorTask(config, images, World.join(device)), folder, inputs)


def _adam(network: nn.Module, learning_rate: float, interval: int) -> torch.optim.Adam:
    """Adam, corrected for the extra steps of a lazy penalty (StyleGAN2, appendix B)."""
    share = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(
        network.parameters(), learning_rate * share, betas=(0.0, 0.99**share), eps=1e-8
    )
