"""Factors (yaw, pitch, jaw, smile, ...) and the motion space h, linear both ways.

    factors = center + R (h - h_mean)        what a motion shows
    h' = h + D (wanted - factors)            the same motion with some factors set

R D is the identity matrix, so that a slider moves its own factor and no other; D runs where the
motions of real drivers vary, so that nothing else is touched without need.

Where that would take h further than motions are apart, the wanted values are only approached: those
give way first that motions tell least. Several factors that go together, asked for apart, would
otherwise leave all faces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.errors import BadFile, BadValue, expect
from xfer.files import Network, Storable, stored_config

Motion = Float[Tensor, "batch bottleneck"]

PARTS = {
    "pose": ("yaw_deg", "pitch_deg"),
    "mouth": ("jaw", "smile", "pucker"),
    "eyes": ("blink_left", "blink_right", "gaze_x", "gaze_y"),
    "brows": ("brow", "brow_tilt", "frown"),
}
"""Which factors belong to which part of the motion; alignment takes the roll away."""

SHORT = {
    "yaw": ("yaw_deg",),
    "pitch": ("pitch_deg",),
    "brows": ("brow",),
    "blink": ("blink_left", "blink_right"),
}
"""Names that may be said for others."""

FAR = 1e30
"""No limit; infinity is not admitted in files."""
FARTHEST = 4.0
"""Mean square of a change of motion, per factor, in standard deviations of the motions seen. Two of
them are 2 apart on average, and hardly ever more than this."""
SLACK = 1e-5
"""Share of each variance; ours are stored in single precision."""
HALVINGS = 40
"""Of the interval in which the least yielding that suffices is looked for."""


@dataclass(frozen=True)
class ControlsConfig:
    """What a set of controls knows."""

    bottleneck: int
    """Length of h."""
    factors: tuple[str, ...]

    def __post_init__(self):
        expect(self.bottleneck >= 1, f"bottleneck is at least 1; got {self.bottleneck}")
        expect(self.factors, "controls have at least one factor; got none")


class Controls(Storable, nn.Module):
    """Factors as directions of the motion space."""

    role = "controls"

    def __init__(self, config: ControlsConfig):
        super().__init__()
        self.config = config
        size, count = config.bottleneck, len(config.factors)
        self.register_buffer("h_mean", torch.zeros(size))
        self.register_buffer("reads", torch.zeros(count, size))  # R
        self.register_buffer("moves", torch.zeros(size, count))  # D
        self.register_buffer("center", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.register_buffer("lowest", torch.full((count,), -FAR))
        self.register_buffer("highest", torch.full((count,), FAR))
        self.register_buffer("cross_talk", torch.zeros(count, count))  # zeros: nobody measured it
        self.register_buffer("seen", FAR * torch.eye(count))  # S: covariance of what R reads
        self.register_buffer("doubt", torch.ones(count))  # N: variance that R does not tell

    @classmethod
    def unpack(cls, network: Network) -> tuple[ControlsConfig, Mapping[str, Tensor]]:
        if network.layout != "xfer":
            raise BadFile("controls are stored in our own layout only")
        config = stored_config(ControlsConfig, network)
        count = len(config.factors)
        unlimited = {"seen": FAR * torch.eye(count), "doubt": torch.ones(count)}  # older files
        return config, unlimited | dict(network.tensors)

    @property
    def names(self) -> tuple[str, ...]:
        """The factors, in the order of all tensors here."""
        return self.config.factors

    def read(self, h: Motion) -> Float[Tensor, "batch factors"]:
        """The factors that motions show, in their units."""
        return self.center + (h - self.h_mean) @ self.reads.T

    def set(self, h: Motion, wanted: Mapping[str, float | Tensor]) -> Motion:
        """The motions with these factors; all others, and what no factor says, stay.

        Args:
            wanted: Values by name (short names too), one for all or one for each motion; beyond
                what was seen in learning they are brought back to its limits, and all of them
                together give way where they would lead out of the motions seen.
        """
        wanted = named_factors(wanted)
        rows = [self._row(name) for name in wanted]
        values = torch.stack([torch.as_tensor(v).to(h).expand(len(h)) for v in wanted.values()], 1)
        values = values.clamp(self.lowest[rows], self.highest[rows])
        change = torch.zeros(len(h), len(self.names)).to(h)
        change[:, rows] = values - self.read(h)[:, rows]
        return h + self.yielding(change) @ self.moves.T

    def yielding(self, change: Float[Tensor, "batch factors"]) -> Float[Tensor, "batch factors"]:
        """Changes of factors within what motions do, as near to those asked for as can be.

        S (S + t N)^-1 of a change is the likeliest one if readings err by t N; t is the least for
        which the motion's mean square, a' S^-1 a, keeps to its limit (0 for most).
        """
        asked, change = change, _precise(change)
        root = torch.linalg.cholesky(self._slackened())
        half = torch.linalg.solve_triangular(
            root, torch.diag(_precise(self.doubt).sqrt()), upper=False
        )
        doubts, axes = torch.linalg.eigh(half @ half.T)
        moved = torch.linalg.solve_triangular(root, change.T, upper=False).T @ axes
        most = FARTHEST * len(self.names)
        length = lambda t: (moved / (1 + t * doubts)).square().sum(1, keepdim=True)
        low = torch.zeros(len(change), 1, dtype=torch.double)
        high = (length(low) / most).clamp(1).sqrt() / doubts.clamp(1e-12).min()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = length(middle) <= most
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        yielded = (moved / (1 + high * doubts)) @ axes.T @ root.T
        possible = length(torch.zeros_like(low)) <= most
        return torch.where(possible.to(asked.device), asked, yielded.to(asked))

    def farthest(self) -> Float[Tensor, " factors"]:
        """How far each factor can be moved alone before it has to give way, in its unit."""
        alone = torch.linalg.inv(self._slackened()).diagonal().rsqrt()
        return ((FARTHEST * len(self.names)) ** 0.5 * alone).to(self.seen)

    def _slackened(self) -> Float[Tensor, "factors factors"]:
        """S, proof against rounding where few pictures made one factor follow from others."""
        seen = _precise(self.seen)
        return seen + SLACK * seen.diagonal().diag()

    def moved(self, h: Motion, name: str, spreads: float) -> Motion:
        """The motions with one factor changed by as many of its spreads, without limits."""
        row = self._row(name)
        return h + spreads * self.spread[row] * self.moves[:, row]

    def keeping(self, parts: Sequence[str]) -> Float[Tensor, "bottleneck bottleneck"]:
        """The projection of changes of motion onto some parts of it.

        `pose`, `mouth`, `eyes` and `brows` are what their factors span; `expression` is all that
        is not pose. So pose and expression together change nothing.

        Raises:
            BadValue: There is no such part, or no factor of it is known here.
        """
        unknown = [part for part in parts if part not in (*PARTS, "expression")]
        expect(
            not unknown, f"parts are {', '.join(PARTS)} and expression; got {', '.join(unknown)}"
        )
        for part in parts:
            missing = self.lacking([part])
            expect(
                len(missing) < len(_factors_of(part)),
                f"{part} alone needs controls of {' or '.join(missing)}; these weights have "
                f"{', '.join(self.names)}",
            )
        by_part = {part: self._span(part) for part in PARTS}
        if "expression" not in parts:
            return sum((by_part[part] for part in parts), torch.zeros_like(by_part["pose"]))
        expression = torch.eye(self.config.bottleneck).to(self.reads) - by_part["pose"]
        return expression + by_part["pose"] if "pose" in parts else expression

    def lacking(self, parts: Sequence[str]) -> list[str]:
        """Factors that tell these parts from the rest of the motion and are not known here."""
        wanted = dict.fromkeys(name for part in parts for name in _factors_of(part))
        return [name for name in wanted if name not in self.names]

    def _span(self, part: str) -> Float[Tensor, "bottleneck bottleneck"]:
        rows = [row for row, name in enumerate(self.names) if name in PARTS[part]]
        return self.moves[:, rows] @ self.reads[rows]

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise BadValue(f"there is no control '{name}'; there are {', '.join(self.names)}")
        return self.names.index(name)

    def cross_talk_table(self) -> dict[str, dict[str, float]]:
        """By slider: how far each factor moves, in its spreads, when the slider moves by one.

        Empty where nobody measured it.
        """
        if not self.cross_talk.any():
            return {}
        rows = self.cross_talk.tolist()
        return {
            name: {other: round(value, 4) for other, value in zip(self.names, row, strict=True)}
            for name, row in zip(self.names, rows, strict=True)
        }


def named_factors(wanted: Mapping[str, float | Tensor]) -> dict[str, float | Tensor]:
    """Short names replaced by the factors that they stand for."""
    full = {name: SHORT.get(name, (name,)) for name in wanted}
    return {long: wanted[name] for name, names in full.items() for long in names}


def _factors_of(part: str) -> tuple[str, ...]:
    """Those that tell a part from the rest: expression is what pose is not."""
    return PARTS["pose" if part == "expression" else part]


def _precise(values: Tensor) -> Tensor:
    """In double precision, which some devices (mps) do not have, so on the CPU."""
    return values.cpu().double()
