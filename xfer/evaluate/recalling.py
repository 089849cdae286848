"""Pictures that many methods ask about are inverted once."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.axes import Image, WPlus
from xfer.baselines import Draws, Model
from xfer.model import Transfer
from xfer.rival import StyleSwap

ALIKE = 1e-3
"""Two generators whose mean pictures differ by less, at most, are the same: prepared and plain."""


class Inversions:
    """An encoder's latents, each found once.

    Trials, clips and sheets show the same photos to many methods, and inverting them takes most of
    the time of an evaluation.

    Args:
        find: Gives the latents of pictures that are not known yet, after so many rounds.
    """

    def __init__(self, find: Callable[[Image, int | None], WPlus]):
        self._find = find
        self._known: dict[tuple[bytes, int | None], Tensor] = {}

    def invert(self, image: Image, _: Draws | None = None, rounds: int | None = None) -> WPlus:
        """Latents of pictures, as `IdentityEncoder.invert` gives them; the generator is known."""
        keys = [(_digest(picture), rounds) for picture in image]
        rows = {key: row for row, key in enumerate(keys) if key not in self._known}
        if rows:
            found = self._find(image[list(rows.values())], rounds)
            self._known |= dict(zip(rows, found, strict=True))
        return torch.stack([self._known[key] for key in keys])


@dataclass(frozen=True)
class Recalling:
    """A model that recalls whom it has seen."""

    model: Transfer
    known: Inversions

    @property
    def generator(self) -> Draws:
        return self.model.generator

    def identify(self, image: Image, rounds: int | None = None) -> WPlus:
        return self.known.invert(image, rounds=rounds)

    def transfer(
        self, driver: Image, identity: WPlus
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        return self.model.transfer(driver, identity)


def recalling(models: Mapping[str, Transfer | StyleSwap]) -> dict[str, Model | StyleSwap]:
    """Models that invert every picture once, and together where their inverters are the same."""
    found: dict[str, Model | StyleSwap] = {}
    shared: list[tuple[nn.Module | None, Draws, Inversions]] = []
    for name, model in models.items():
        encoder = model.encoder if isinstance(model, StyleSwap) else model.identity_encoder
        known = next(
            (known for *other, known in shared if _same(encoder, model.generator, *other)), None
        )
        if known is None:
            known = Inversions(model.identify)
            shared.append((encoder, model.generator, known))
        if isinstance(model, StyleSwap):
            found[name] = dataclasses.replace(model, encoder=known)
        else:
            found[name] = Recalling(model, known)
    return found


def _digest(picture: Float[Tensor, "3 height width"]) -> bytes:
    shape, values = str(tuple(picture.shape)), picture.detach().cpu().contiguous().numpy()
    return hashlib.blake2b(shape.encode() + values.tobytes(), digest_size=16).digest()


@torch.no_grad()
def _same(
    encoder: nn.Module | None, generator: Draws, other: nn.Module | None, others: Draws
) -> bool:
    """Whether two encoders with their generators find the same latents."""
    if encoder is None or other is None:
        return False
    ours, theirs = encoder.state_dict(), other.state_dict()
    if ours.keys() != theirs.keys() or any(
        ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name])
        for name in ours
    ):
        return False
    mean = lambda drawer: drawer.synthesis(drawer.w_mean.expand(1, encoder.config.n_styles, -1))
    means = mean(generator), mean(others)
    return means[0].shape == means[1].shape and bool((means[0] - means[1]).abs().max() < ALIKE)
