"""What may be done to a driver's motion before a person answers to it.

A person's latent is affine in h, so all of this is exact arithmetic on h:

    h' = own + strength P (h - from)

with the person's own motion `own`; `from` is `own`, or for relative motion the driver's first h;
P keeps some parts of the change.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.controls.factors import PARTS, Controls
from xfer.errors import BadValue, expect

Motion = Float[Tensor, "batch bottleneck"]
One = Float[Tensor, "_ bottleneck"]
WHOLE = ("pose", "expression")


@dataclass(frozen=True)
class Switches:
    """How much of the driver's motion the person takes over."""

    strength: float = 1.0
    """0: the person's own motion; 1: the driver's; up to 2."""
    relative: bool = False
    """Take over the driver's change since its first frame instead of its motion itself."""
    parts: tuple[str, ...] = WHOLE
    """Of pose, expression, mouth, eyes, brows; the last three lie within expression."""

    def __post_init__(self):
        expect(0 <= self.strength <= 2, f"strength is between 0 and 2; got {self.strength:g}")
        known = (*PARTS, "expression")
        expect(
            self.parts and all(part in known for part in self.parts),
            f"parts are some of {', '.join(known)}; got {', '.join(self.parts) or 'none'}",
        )

    @property
    def whole(self) -> bool:
        """Whether every part is taken over."""
        return {"pose", "expression"} <= set(self.parts)

    @property
    def plain(self) -> bool:
        """Whether the driver's motion is taken as it is."""
        return self.whole and self.strength == 1 and not self.relative

    def apply(self, h: Motion, own: One, first: One, controls: Controls | None = None) -> Motion:
        """The motion that the person shall show.

        Args:
            own: The motion that the identity itself shows.
            first: The driver's in its first frame.
            controls: Needed for single parts.
        """
        if self.plain:
            return h
        change = h - (first if self.relative else own)
        if not self.whole:
            change = change @ self._projection(controls).to(h).T
        return own + self.strength * change

    def _projection(self, controls: Controls | None) -> Float[Tensor, "bottleneck bottleneck"]:
        if controls is None:
            raise BadValue(
                f"{' and '.join(self.parts)} alone needs controls, which these weights do not "
                "carry; learn them with `xfer train controls`, or take over the whole motion"
            )
        return controls.keeping(self.parts)


Codes = TypeVar("Codes", bound=Tensor)


def between(first: Codes, second: Codes, share: float) -> Codes:
    """From `first` (share 0) to `second` (share 1): motions of two drivers, codes of two people."""
    expect(0 <= share <= 1, f"a share of the way is between 0 and 1; got {share:g}")
    return torch.lerp(first, second, share)
