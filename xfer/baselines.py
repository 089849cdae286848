"""Rivals on the same generator: other ways to give an identity a driver's motion.

Every baseline gives latents, so that all are rendered, read and compared alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.control import Control, Factors, unit_sizes
from xfer.errors import BadValue
from xfer.shapes import W

Latents = Float[Tensor, "frames n_styles w_dim"]
Code = Float[Tensor, "1 n_styles w_dim"]

BOUND = 6.0
"""Of the moves of rivals, as that of the shipped control."""


@dataclass(frozen=True)
class DriverMotion:
    """What is known of a driver's frames."""

    n_frames: int
    w_plus: Latents | None = None
    """The frames, inverted: what differences of latents need."""
    neutral_w_plus: Code | None = None


Baseline = Callable[[DriverMotion, Code, float], Latents]
"""Latents of an identity with the motion of every frame; strength 0 leaves it as it is."""


def copy(motion: DriverMotion, identity: Code, strength: float = 1.0) -> Latents:
    """The identity itself: the right person, who does not move."""
    return identity.expand(motion.n_frames, -1, -1)


def latent_difference(motion: DriverMotion, identity: Code, strength: float = 1.0) -> Latents:
    """The identity's latent plus what changed between the driver's (Tov et al., "e4e", 2021)."""
    if motion.w_plus is None or motion.neutral_w_plus is None:
        raise BadValue("this baseline needs the driver's frames inverted; give w_plus of both")
    return identity + strength * (motion.w_plus - motion.neutral_w_plus)


def linear_directions(w: W, factors: Factors, n_styles: int, ridge: float = 1.0) -> Control:
    """Moves in W that change one factor and hold the others, of least Mahalanobis length.

    With C the covariance of w and B the ridge regression from w to factors, C B (B' C B)^-1.

    Args:
        w: Of random people.
        factors: Read from their images.
    """
    centred, units = _centred(w), _centred(factors / unit_sizes(factors))
    gram = centred.T @ centred
    eye = torch.eye(len(gram), dtype=gram.dtype)
    reads = torch.linalg.solve(gram + ridge * eye, centred.T @ units)
    spread = gram / len(w)
    moves = spread @ reads @ torch.linalg.inv(reads.T @ spread @ reads)
    return _control(moves.T, spread, n_styles)


def ganspace_directions(w: W, factors: Factors, n_styles: int, count: int = 20) -> Control:
    """For each factor the principal component of w that goes with it most (GANSpace, 2020).

    Args:
        count: Components to choose among, the widest first.
    """
    centred, units = _centred(w), _centred(factors / unit_sizes(factors))
    spread = centred.T @ centred / len(w)
    components = torch.linalg.eigh(spread).eigenvectors.flip(1)[:, :count]
    coordinates = centred @ components
    slopes = coordinates.T @ units / coordinates.square().sum(0)[:, None]
    correlations = slopes * coordinates.std(0)[:, None] / units.std(0)
    best = correlations.abs().argmax(0)
    moves = components[:, best] / slopes.gather(0, best[None])
    return _control(moves.T, spread, n_styles)


@torch.no_grad()
def style_mask(generator: Any, w: W, factors: Factors, share: float = 0.1) -> Baseline:
    """Channels of style space that go with the motion, taken over from the driver's own code.

    StyleMask (Bounareli et al., 2023) learns a mask for every pair of images; here one serves all:
    those channels that regression on the factors explains best.

    Args:
        w: Of random people; `factors` are read from their images.
        share: Of all channels that are taken.
    """
    centred, units = _centred(w), _centred(factors / unit_sizes(factors))
    zero = torch.zeros(1, generator.n_styles, generator.w_dim).to(w)
    writes, explained = [], []
    for style in range(generator.n_styles):
        axes = zero.repeat(generator.w_dim, 1, 1)
        axes[:, style] = torch.eye(generator.w_dim)
        pairs = zip(generator.styles(axes), generator.styles(zero), strict=True)
        affine = torch.cat([one - none for one, none in pairs], 1).double()
        writes.append(affine[:, affine.any(0)])
        channels = centred @ writes[-1]
        fitted = units @ torch.linalg.lstsq(units, channels).solution
        explained.append(fitted.square().sum(0) / channels.square().sum(0))
    least = torch.cat(explained).quantile(1 - share)
    pairs = zip(writes, explained, strict=True)
    passed = torch.stack([(a * (r >= least)) @ torch.linalg.pinv(a) for a, r in pairs])

    def latents(motion: DriverMotion, identity: Code, strength: float = 1.0) -> Latents:
        if motion.w_plus is None:
            raise BadValue("this baseline needs the driver's frames inverted; give w_plus")
        change = (motion.w_plus - identity).double()
        return identity + strength * torch.einsum("fsw,swv->fsv", change, passed).to(identity)

    return latents


def _centred(x: Float[Tensor, "n _"]) -> Float[Tensor, "n _"]:
    return x.double() - x.double().mean(0)


def _control(
    moves: Float[Tensor, "n_factors w_dim"], spread: Float[Tensor, "w_dim w_dim"], n_styles: int
) -> Control:
    directions = moves[:, None].expand(-1, n_styles, -1).float()
    ridge = 1e-4 * spread.diagonal().mean() * torch.eye(len(spread), dtype=spread.dtype)
    precision = torch.linalg.inv(spread + ridge)
    return Control.from_directions(directions, precision, n_styles=n_styles, bound=BOUND)
