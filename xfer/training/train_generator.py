"""Training of StyleGAN2: the losses and schedule of Karras et al., 2020, configuration F.

Every random number is a function of the step and the sample (see `randomness`), so the state of a
run is its networks, optimisers and counters, and nothing else.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xfer import losses
from xfer.axes import Image, WPlus
from xfer.backbones import Backbone
from xfer.errors import expect
from xfer.files import fill
from xfer.precision import half_dtype
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator
from xfer.training.config import GeneratorTraining
from xfer.training.distributed import World
from xfer.training.normed import NormedDiscriminator
from xfer.training.projected import ProjectedDiscriminator, Verdicts, augmented
from xfer.training.randomness import normal, rng, sample_rngs, uniform
from xfer.training.redrawing import Anchor
from xfer.training.session import Session
from xfer.training.shared_layers import share_layers


@runtime_checkable
class Batches(Protocol):
    """Real pictures by position: sample i of an endless order is always the same."""

    def at(self, positions: list[int]) -> Image: ...


GAMES = {
    "plain": (losses.generator_loss, losses.discriminator_loss),
    "normed": (losses.hinge_generator_loss, losses.hinge_discriminator_loss),
    "projected": (losses.hinge_generator_loss, losses.hinge_discriminator_loss),
}
"""What generator and critic make small, by the kind of critic."""


class Scalars:
    """Running values that are part of a run's state, such as the mean path length."""

    def __init__(self, **values: Tensor):
        self.values = values

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.values)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            self.values[name].copy_(value)


@dataclass(frozen=True)
class Redrawn:
    """A step's real pictures drawn again, and what an anchor makes of them."""

    loss: Tensor
    terms: dict[str, Tensor]
    images: Image


class GeneratorTrainer:
    """Networks, optimisers and the four phases of a step."""

    def __init__(
        self,
        config: GeneratorTraining,
        world: World,
        bodies: Sequence[Backbone] = (),
        start: Generator | None = None,
        redrawing: Anchor | None = None,
    ):
        self.config, self.world = config, world
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            generator, critic = Generator(config.generator), _critic(config, bodies)
        if start is not None:
            fill(generator, start.state_dict())
        share_layers(critic, world)
        place = {"device": world.device, "memory_format": torch.channels_last}
        self.generator, self.discriminator = generator.to(**place), critic.to(**place)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.redrawing = redrawing.to(**place) if redrawing is not None else None
        self.drawing = nn.ModuleList([self.generator])
        if config.anchor:
            expect(
                redrawing is not None,
                "anchor needs the encoder of a warm start: name its file as the start",
            )
            share_layers(redrawing.encoder, world)
            self.drawing.append(redrawing.encoder.train())
        self.g_optimiser = self._adam(self.generator, config.path_interval)
        if config.anchor:
            rate = config.anchor_learning_rate or config.learning_rate
            self.g_optimiser.add_param_group(
                {"params": list(redrawing.encoder.parameters()), "lr": rate, "betas": (0.9, 0.99)}
            )
        self.d_optimiser = self._critic_adam()
        self.scalars = Scalars(path_mean=torch.zeros((), device=world.device))
        self.generator_game, self.critic_game = GAMES[config.critic]
        self.half = half_dtype(config.half, world.device)
        self.samples = world.samples(config.batch, self._group())

    def _group(self) -> int:
        group = min(self.config.discriminator.stddev_group, self.config.batch)
        return next(g for g in range(group, 0, -1) if self.config.batch % g == 0)

    def _adam(self, network: nn.Module, interval: int) -> torch.optim.Optimizer:
        """Adam, corrected for the extra steps of a lazy penalty (StyleGAN2, appendix B)."""
        share = interval / (interval + 1) if interval else 1.0
        return torch.optim.Adam(
            network.parameters(),
            lr=self.config.learning_rate * share,
            betas=(self.config.beta1**share, 0.99**share),
            eps=1e-8,
        )

    def _critic_adam(self) -> torch.optim.Optimizer:
        """The critic's: a normed one's is that of Radford et al., 2016."""
        config = self.config
        if config.critic != "normed":
            return self._adam(self.discriminator, config.r1_interval)
        rate = config.critic_learning_rate or config.learning_rate
        return torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=(0.5, 0.99))

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        state = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "ema": self.ema,
            "g_optimiser": self.g_optimiser,
            "d_optimiser": self.d_optimiser,
            "scalars": self.scalars,
        }
        if self.config.anchor:
            state["encoder"] = self.redrawing.encoder
        return state

    # Random inputs ---------------------------------------------------------------------------

    def latents(self, step: int, phase: str, samples: list[int]) -> tuple[WPlus, list[Tensor]]:
        """Mapped styles, mixed at a random layer for some samples, and noise for every layer."""
        rngs = sample_rngs(self.config.seed, phase, step, samples)
        device, n_styles = self.world.device, self.generator.n_styles
        first, second = (normal(rngs, self.generator.z_dim).to(device) for _ in range(2))
        mixed, where = uniform(rngs), uniform(rngs)
        cut = (1 + where * (n_styles - 1)).long()
        cut = torch.where(mixed < self.config.style_mixing, cut, n_styles).to(device)
        w = self.generator.mapping(torch.cat([first, second]))
        first, second = (self.generator.to_w_plus(part) for part in w.chunk(2))
        below = torch.arange(n_styles, device=device)[None, :] < cut[:, None]
        noise = [
            normal(rngs, 1, layer.resolution, layer.resolution).to(device)
            for layer in self.generator.layers
        ]
        return torch.where(below[..., None], first, second), noise

    def real(self, step: int, batches: Batches) -> Image:
        """This process's share of the step's real pictures, mirrored by choice."""
        first = step * self.config.batch
        images = batches.at([first + sample for sample in self.samples]).to(self.world.device)
        (height, width), edge = images.shape[2:], self.config.generator.resolution
        expect(
            height == width == edge,
            f"pictures to learn from are {edge} pixels square here; got {width} x {height}",
        )
        if not self.config.flip:
            return images
        rngs = sample_rngs(self.config.seed, "flip", step, self.samples)
        mirrored = (uniform(rngs) < 0.5).to(images.device)
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)

    # Phases ----------------------------------------------------------------------------------

    def judged(self, step: int, stream: str, image: Image) -> Verdicts:
        """The critic's logits of pictures, augmented by choice."""
        if self.config.augment:
            image = augmented(image, self.config.seed, stream, step, self.samples)
        return self.discriminator(image, self.half)

    def redraw(self, step: int, real: Image) -> Redrawn | None:
        """The step's real pictures drawn again, where an anchor does so."""
        if not self.config.anchor:
            return None
        return Redrawn(
            *self.redrawing.loss(self.generator, real, self.config.seed, step, self.samples)
        )

    def critic_loss(
        self, step: int, real: Image, redrawn: Redrawn | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the critic on this step's real and drawn pictures."""
        with torch.no_grad():
            w_plus, noise = self.latents(step, "critic", self.samples)
            fake = self.generator.synthesis(w_plus, noise, self.half)
        real_logits = self.judged(step, "augment-real", real)
        fake_logits = self.judged(step, "augment-fake", fake)
        loss = self.critic_game(real_logits, fake_logits)
        facts = {
            "d_loss": loss.detach(),
            "real_logits": real_logits.detach().mean(),
            "fake_logits": fake_logits.detach().mean(),
        }
        if redrawn is not None and self.config.redrawn_game:
            logits = self.judged(step, "augment-redrawn", redrawn.images.detach())
            loss = loss + self.config.redrawn_game * self.critic_game(real_logits, logits)
            facts["redrawn_logits"] = logits.detach().mean()
        return loss, facts

    def generator_loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss on fresh samples; also follows the mean of w for truncation."""
        w_plus, noise = self.latents(step, "generator", self.samples)
        self._follow_w_mean(w_plus)
        image = self.generator.synthesis(w_plus, noise, self.half)
        logits = self.judged(step, "augment-generator", image)
        loss = self.generator_game(logits)
        return loss, {"g_loss": loss.detach()}

    def anchored_loss(self, step: int, redrawn: Redrawn | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss, and beside it that of redrawing the step's real pictures."""
        playing = step % self.config.game_interval == 0
        loss, facts = self.generator_loss(step) if playing else (torch.zeros(()), {})
        if redrawn is None:
            return loss, facts
        loss = loss + self.config.anchor * redrawn.loss
        if playing and self.config.redrawn_game:
            logits = self.judged(step, "augment-redrawn", redrawn.images)
            loss = loss + self.config.redrawn_game * self.generator_game(logits)
        return loss, facts | redrawn.terms

    def r1_loss(self, real: Image) -> tuple[Tensor, dict[str, Tensor]]:
        """R1 penalty, weighted for being taken only every `r1_interval` steps."""
        real = real.detach().requires_grad_()
        penalty = losses.r1_penalty(self.discriminator(real, self.half), real)
        weight = self.config.r1_gamma / 2 * self.config.r1_interval
        return penalty * weight, {"r1": penalty.detach()}

    def path_loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Path length penalty on half of a batch (the saving of StyleGAN2, appendix B)."""
        samples = self.samples[: max(1, len(self.samples) // 2)]
        w_plus, noise = self.latents(step, "path", samples)
        image = self.generator.synthesis(w_plus, noise, self.half)
        y = normal(sample_rngs(self.config.seed, "path-noise", step, samples), *image.shape[1:])
        lengths = losses.path_lengths(image, w_plus, y.to(image.device))
        mean = lengths.detach().mean()
        self.world.mean_([mean])
        path_mean = self.scalars.values["path_mean"]
        if bool(mean.isfinite()):  # the step is skipped then, and must leave nothing behind
            path_mean.lerp_(mean, self.config.path_decay)
        penalty = losses.path_length_penalty(lengths, path_mean)
        weight = self.config.path_weight * self.config.path_interval
        return penalty * weight, {"path_length": mean}

    @torch.no_grad()
    def _follow_w_mean(self, w_plus: WPlus) -> None:
        mean = w_plus[:, 0].mean(0)
        self.world.mean_([mean])
        self.generator.w_mean.lerp_(mean, 0.005)

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the averaged generator towards the current one: half-life `ema_kimg`."""
        half_life = self.config.ema_kimg * 1000
        if self.config.ema_rampup:
            half_life = min(half_life, (step + 1) * self.config.batch * self.config.ema_rampup)
        keep = 0.5 ** (self.config.batch / max(half_life, 1e-8))
        ours, theirs = list(self.ema.parameters()), list(self.generator.parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - keep)
        for name, buffer in self.ema.named_buffers():
            buffer.copy_(self.generator.get_buffer(name))


def _critic(config: GeneratorTraining, bodies: Sequence[Backbone]) -> nn.Module:
    if config.critic == "plain":
        return Discriminator(config.discriminator)
    if config.critic == "normed":
        group = config.discriminator.stddev_group
        return NormedDiscriminator(config.generator.resolution, config.critic_width, group)
    expect(bodies, "a projected critic looks through instruments; name their file")
    bodies = [copy.deepcopy(body) for body in bodies]
    return ProjectedDiscriminator(bodies, config.generator.resolution, config.critic_width)


def train_generator(
    config: GeneratorTraining,
    batches: Batches,
    folder: str | Path,
    world: World | None = None,
    bodies: Sequence[Backbone] = (),
    start: Generator | None = None,
    redrawing: Anchor | None = None,
) -> Iterator[dict[str, Any]]:
    """Train, yielding one record a tick. Run again on the same folder, it goes on where it was.

    Args:
        batches: Real pictures of the configured resolution.
        folder: Of the run; gets run.json, stats.jsonl and checkpoints.
        bodies: What a projected critic looks through: bodies of the loss-side instruments.
        start: A generator of the same sizes whose weights a new run begins with.
        redrawing: What `anchor` needs: an encoder that the start comes with, and a look.
    """
    world = world or World()
    trainer = GeneratorTrainer(config, world, bodies, start, redrawing)
    session = Session(folder, config, trainer.state(), world, "l2" if config.anchor else None)
    g, d = trainer.drawing, trainer.discriminator
    with session:
        for step in session.steps():
            real = trainer.real(step, batches)
            redrawn = trainer.redraw(step, real)
            d.requires_grad_(True)
            if step % config.game_interval == 0:
                _update(session, trainer.d_optimiser, d, trainer.critic_loss(step, real, redrawn))
            if config.r1_interval and step % config.r1_interval == 0:
                _update(session, trainer.d_optimiser, d, trainer.r1_loss(real))
            d.requires_grad_(False)
            if step * config.batch >= config.critic_first_kimg * 1000:
                _update(session, trainer.g_optimiser, g, trainer.anchored_loss(step, redrawn))
                if config.path_interval and step % config.path_interval == 0:
                    _update(session, trainer.g_optimiser, g, trainer.path_loss(step))
                trainer.average(step)
            if record := session.tick():
                yield record


def _update(
    session: Session,
    optimiser: torch.optim.Optimizer,
    network: nn.Module,
    phase: tuple[Tensor, dict[str, Tensor]],
) -> None:
    loss, facts = phase
    if session.update(optimiser, network, loss):
        session.count(**facts)
