"""Training of a face recogniser on people who do not exist, as many as are wanted.

A person is a seed. Images of one person are the same code with pose and expression moved, other
colours in the fine styles, and the damage that photos have; CosFace tells the people apart.

Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from xfer.control import Control
from xfer.data.synthesize import open_control
from xfer.media.images import to_array, to_tensor
from xfer.recognition import FaceRecogniser, frozen
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.training.augment import degrade
from xfer.training.config import RecogniserTraining
from xfer.training.distributed import World, normal, numpy_rng, rng, uniform
from xfer.training.loop import Task, train

FIRST_SEED = 500_000
"""Of the people; far from the small seeds that users type."""


class RecogniserTask(Task):
    """Recogniser and a row for every person learn; generator and control are frozen.

    Args:
        generator: On the device of `world`; a prepared one is faster.
    """

    name = "recogniser"

    def __init__(
        self,
        config: RecogniserTraining,
        generator: Any,
        control: Control,
        world: World | None = None,
    ):
        device = (world or World()).device
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            self.recogniser = FaceRecogniser(config.recogniser).to(device)
            width = config.recogniser.embedding
            self.head = nn.Linear(width, config.people, bias=False).to(device)
        self.generator, self.control = generator, frozen(control, device)
        networks = {"recogniser": self.recogniser, "head": self.head}
        learned = [p for network in networks.values() for p in network.parameters()]
        optimiser = torch.optim.AdamW(learned, config.learning_rate, weight_decay=5e-4)
        super().__init__(config, networks, {"all": optimiser}, ["recogniser"], world)

    def step(self, step: int, batch: None) -> dict[str, Tensor]:
        people, w_plus = self.sample(step)
        images = self.photos(step, w_plus)
        cosines = F.linear(self.recogniser(images), F.normalize(self.head.weight))
        loss = cosface(cosines, people, self.config.scale, self.config.margin)
        self.update("all", loss)
        return {"loss": loss, "accuracy": (cosines.argmax(1) == people).float().mean()}

    @torch.no_grad()
    def sample(self, step: int) -> tuple[Int[Tensor, " batch"], WPlus]:
        """People of a step by number, moved and recoloured at random."""
        config, rngs = self.config, self.rngs("people", step)
        people = (uniform(rngs) * config.people).long()
        strangers = (uniform(rngs) * config.people).long()
        seeds = [FIRST_SEED + int(n) for n in (*people, *strangers)]
        z = z_from_seeds(seeds, self.generator.z_dim).to(self.world.device)
        w_plus = self.generator.to_w_plus(self.generator.mapping(z))
        w_plus, others = self.generator.truncate(w_plus, config.psi).chunk(2)
        share = (uniform(rngs) * config.recolour).to(w_plus)[:, None, None]
        cut = self.control.config.n_motion_styles
        w_plus = torch.cat([w_plus[:, :cut], w_plus[:, cut:].lerp(others[:, cut:], share)], dim=1)
        units = normal(rngs, len(self.control.directions)).to(w_plus) * config.motion
        return people.to(self.world.device), self.control.move(w_plus, units)

    @torch.no_grad()
    def photos(self, step: int, w_plus: WPlus) -> Image:
        """Previews of the codes, degraded and, half of them, mirrored."""
        arrays, found = to_array(self.generator.preview(w_plus, self.config.preview)), []
        for sample, array in zip(self.samples, arrays, strict=True):
            generator = numpy_rng(self.config.seed, "photo", step, sample)
            photo = degrade(array, generator, self.config.occlude)
            found.append(photo[:, ::-1] if generator.random() < 0.5 else photo)
        return to_tensor(np.stack(found)).to(self.world.device)


def cosface(
    cosines: Float[Tensor, "batch people"],
    people: Int[Tensor, " batch"],
    scale: float,
    margin: float,
) -> Float[Tensor, ""]:
    """Cross entropy of scaled cosines, the right person's lowered by a margin."""
    lowered = margin * F.one_hot(people, cosines.shape[1])
    return F.cross_entropy(scale * (cosines - lowered), people)


def train_recogniser(
    config: RecogniserTraining,
    folder: str | Path | None = None,
    device: str = "auto",
) -> Path:
    """Train a recogniser for losses; returns the weights' path."""
    world = World.join(device)
    generator = frozen(Generator.load(config.generator), world.device).prepare()
    task = RecogniserTask(config, generator, open_control(config.control, config.generator), world)
    inputs = {"generator": config.generator, "control": config.control}
    return train(task, folder, inputs)
