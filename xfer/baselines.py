"""What a transfer must beat, and what it is held against: other ways to answer the same question.

Every method takes aligned drivers and identities, row by row, and gives pictures. Latent-difference
editing is the usual answer of works on StyleGAN's latent space (Abdal et al., "Image2StyleGAN++";
Tov et al., "e4e"): what changed between two of the driver's latents is added to the identity's.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image, WPlus
from xfer.backbones import fit
from xfer.errors import expect


class Driver(NamedTuple):
    """What is known of the givers of motion, one row each."""

    picture: Image
    """The frame whose pose and expression are asked for."""
    reference: Image
    """Another frame of the same person: what latent differences are taken from."""
    truth: Image | None = None
    """The identity in the driver's pose and expression, where it is known: for references."""


@runtime_checkable
class Method(Protocol):
    """Shows identities with the pose and expression of drivers."""

    def __call__(self, driver: Driver, identity: Image) -> Image: ...


@runtime_checkable
class Draws(Protocol):
    """A generator, plain or prepared."""

    def synthesis(self, w_plus: WPlus) -> Image: ...


@runtime_checkable
class Model(Protocol):
    """A transfer model, plain or prepared, as far as it is needed here."""

    generator: Draws

    def identify(self, image: Image, rounds: int | None = None) -> WPlus: ...

    def transfer(
        self, driver: Image, identity: Float[Tensor, "_ n_styles w_dim"]
    ) -> Float[Tensor, "_ 3 resolution resolution"]: ...


def copy_identity(driver: Driver, identity: Image) -> Image:
    """The identity's photo: the right person, who does not move."""
    return identity


def copy_driver(driver: Driver, identity: Image) -> Image:
    """The driver's photo: the right motion, of the wrong person."""
    return driver.picture


def show_truth(driver: Driver, identity: Image) -> Image:
    """The exact answer: what the judges make of it is their own error."""
    return _truth(driver)


@dataclass(frozen=True)
class Inverted:
    """Another method's pictures as the generator can show them: inverted and drawn again.

    Of `show_truth` this is the `ceiling`, the truth as this encoder finds it again: a reference,
    not a bound. The generator may well draw pictures that this encoder does not find, and latents
    that keep a person's look may be recognised more often.
    """

    model: Model
    of: Method

    @torch.no_grad()
    def __call__(self, driver: Driver, identity: Image) -> Image:
        shown = self.of(driver, identity)
        return fit(self.model.generator.synthesis(self.model.identify(shown)), shown.shape[-1])


@dataclass(frozen=True)
class LatentDifference:
    """The identity's latent plus what changed between the driver's latents."""

    model: Model
    strength: float = 1.0

    @torch.no_grad()
    def __call__(self, driver: Driver, identity: Image) -> Image:
        find = self.model.identify
        change = find(driver.picture) - find(driver.reference)
        latent = find(identity) + self.strength * change
        return fit(self.model.generator.synthesis(latent), identity.shape[-1])


@dataclass(frozen=True)
class Transferred:
    """A trained model's answer."""

    model: Model

    @torch.no_grad()
    def __call__(self, driver: Driver, identity: Image) -> Image:
        drawn = self.model.transfer(driver.picture, self.model.identify(identity))
        return fit(drawn, identity.shape[-1])


def baselines(model: Model) -> dict[str, Method]:
    """Every baseline and reference on a model's own inverter and generator, by name.

    Methods that need the truth come last; leave them out where it is not known.
    """
    return {
        "copy identity": copy_identity,
        "copy identity, inverted": Inverted(model, copy_identity),
        "copy driver": copy_driver,
        "copy driver, inverted": Inverted(model, copy_driver),
        "latent difference": LatentDifference(model),
    } | {CEILING: Inverted(model, show_truth), TRUTH: show_truth}


CEILING, TRUTH = "ceiling", "truth"
"""The methods that look at the truth."""


def _truth(driver: Driver) -> Image:
    expect(driver.truth is not None, "the truth of these drivers is not known")
    return driver.truth
