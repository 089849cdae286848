"""Training of the measuring networks: the factor reader and the face recogniser.

Each is trained twice, from different seeds and on different people: one copy may serve in losses,
the other only ever judges (see `instruments`).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from xfer.axes import Image
from xfer.files import fill
from xfer.instruments import FaceRecogniser, FactorReader
from xfer.training.distributed import World
from xfer.training.instrument_config import ReaderTraining, RecogniserTraining
from xfer.training.randomness import normal, rng, sample_rngs, uniform
from xfer.training.session import Session
from xfer.training.shared_layers import share_layers
from xfer.training.world_frames import WorldFrames


def roughened(images: Image, rngs: list[torch.Generator], amount: float) -> Image:
    """Pictures with brightness, contrast and noise shaken, each by its own generator.

    Instruments must read drawn and inverted pictures too, whose grain differs from rendered ones.

    Args:
        amount: 0 for none; 1 shakes brightness and contrast by about a tenth.
    """
    if amount == 0:
        return images
    gain, shift, grain = (uniform(rngs)[:, None, None, None] * 2 - 1 for _ in range(3))
    noise = normal(rngs, *images.shape[1:]) * (0.05 * amount * grain.abs())
    return images * (1 + 0.15 * amount * gain) + 0.1 * amount * shift + noise


class ReaderTrainer:
    """Regression of factors and landmarks, each scaled to unit variance over the frames."""

    def __init__(self, config: ReaderTraining, frames: WorldFrames, world: World):
        self.config, self.frames, self.world = config, frames, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            network = FactorReader(config.reader)
        targets = frames.factors(list(config.reader.factors))
        network.fit_scales(targets, frames.landmarks)
        self.network = network.to(world.device, memory_format=torch.channels_last)
        self.targets = torch.cat([targets, frames.landmarks], dim=1)

    def modules(self) -> nn.Module:
        """What learns."""
        return self.network

    def loss(self, images: Image, items: Int[Tensor, " batch"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error in standard deviations; factors and landmarks weigh the same."""
        read = self.network.standardised(images)
        wanted = self.network.standardise(self.targets[items].to(images.device))
        error = (read - wanted).square()
        n = len(self.config.reader.factors)
        factors, landmarks = error[:, :n].mean(), error[:, n:].mean()
        facts = {"factor_error": factors.detach(), "landmark_error": landmarks.detach()}
        return factors + landmarks, facts


class RecogniserTrainer:
    """Softmax over people with an additive margin on the right one's cosine (CosFace)."""

    def __init__(self, config: RecogniserTraining, frames: WorldFrames, world: World):
        self.config, self.world = config, world
        self.people = torch.from_numpy(frames.table.person.to_numpy(copy=True)).long()
        count = int(self.people.max()) + 1
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            network = FaceRecogniser(config.recogniser)
            centres = nn.Parameter(torch.randn(count, config.recogniser.embedding) * 0.01)
        self.network = network.to(world.device, memory_format=torch.channels_last)
        self.centres = nn.ParameterDict({"people": centres}).to(world.device)

    def modules(self) -> nn.Module:
        return nn.ModuleList([self.network, self.centres])

    def loss(self, images: Image, items: Int[Tensor, " batch"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of scaled cosines to every person's centre."""
        people = self.people[items].to(images.device)
        cosines = self.network(images) @ F.normalize(self.centres["people"], dim=1).T
        margin = F.one_hot(people, cosines.shape[1]) * self.config.margin
        loss = F.cross_entropy(self.config.scale * (cosines - margin), people)
        right = (cosines.argmax(1) == people).float().mean()
        return loss, {"loss": loss.detach(), "accuracy": right}


def learning_rate(config: ReaderTraining | RecogniserTraining, step: float, steps: int) -> float:
    """Linear warm-up over the first hundredth, then half a cosine down to zero."""
    warm = max(1, steps // 100)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return (
        config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    )


def train_instrument(
    config: ReaderTraining | RecogniserTraining,
    frames: WorldFrames,
    folder: str | Path,
    world: World | None = None,
    start: FactorReader | FaceRecogniser | None = None,
) -> Iterator[dict[str, Any]]:
    """Train a reader or a recogniser, by the kind of `config`, yielding one record a tick.

    Args:
        start: A network of the same sizes that a new run begins with; a reader's scales, too.
    """
    world = world or World()
    kind = ReaderTrainer if isinstance(config, ReaderTraining) else RecogniserTrainer
    trainer = kind(config, frames, world)
    if start is not None:
        fill(trainer.network, start.state_dict())
    samples = world.samples(config.batch)
    share_layers(trainer.modules(), world, samples, config.batch)
    optimiser = torch.optim.AdamW(trainer.modules().parameters(), weight_decay=config.weight_decay)
    state = {"networks": trainer.modules(), "optimiser": optimiser}
    score = "factor_error" if kind is ReaderTrainer else "loss"
    with Session(folder, config, state, world, score) as session:
        trainer.modules().train()
        for step in session.steps():
            items = torch.tensor(frames.items([step * config.batch + i for i in samples]))
            rngs = sample_rngs(config.seed, "roughen", step, samples)
            images = roughened(frames.pictures(items.tolist()), rngs, config.roughen)
            rate = learning_rate(config, session.scheduled_step, session.total_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with torch.random.fork_rng():  # dropout draws from the global generator
                torch.manual_seed(rng(config.seed, "dropout", step).initial_seed())
                loss, facts = trainer.loss(images.to(world.device), items)
            if session.update(optimiser, trainer.modules(), loss):
                session.count(**facts)
            if record := session.tick():
                yield record
