"""Explicit control: named factors of motion, and the moves in W+ that they ask for.

A move is linear in the factors, learned so that it changes a factor and holds the person
(`training.train_control`), and bounded so that it stays where the generator draws faces. How far
each style goes may depend on who moves (`Control.from_mapper`).
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadValue
from xfer.landmarker import FACTOR_UNITS, FACTORS
from xfer.mapper import ConditionedMapper, LowRankMapper
from xfer.shapes import WPlus

Factors = Float[Tensor, "_ n_factors"]
"""As `landmarker.read_factors` gives them: degrees, ratios, blendshapes."""

Units = Float[Tensor, "_ n_factors"]
"""Wanted changes of the factors, each over its unit in `FACTOR_UNITS`."""

Reader = Callable[[WPlus], Factors]
"""Codes to the factors that are seen in their images."""

PARTS: dict[str, tuple[str, ...]] = {
    "pose": ("yaw", "pitch"),
    "mouth": ("lip_gap", "smile", "pucker", "upper_lip"),
    "eyes": ("lids", "gaze_x", "gaze_y"),
    "brows": ("brow_up", "brow_down"),
}
PARTS["expression"] = PARTS["mouth"] + PARTS["eyes"] + PARTS["brows"]
"""Factors by the part of the motion that they belong to."""

ABSOLUTE = ("yaw", "pitch", "lip_gap", "smile")
"""Factors that are zero for every face at rest, so that the driver's values are the person's too;
others differ between faces at rest, and the driver's change from neutral counts."""
FAR = 2.5
"""Units of the wider move that calibration reads."""
LENGTHENED = {"yaw": 2.0, "pitch": 2.0, "lip_gap": 2.0, "smile": 2.0, "brow_up": 2.5,
              "gaze_x": 2.0, "gaze_y": 2.0}  # fmt: skip
"""How many times as long calibration makes a move at most; longer ones of others distort faces."""
SHORTENED = 2.0
"""How many times as short it makes any move at most."""
LEAST_ANSWER = 0.15
"""Units read for a unit requested, below which a factor is left alone: closed lips cannot close."""
PULL_AT_LIDS = ("brow_up", "gaze_x", "gaze_y")
"""Factors whose moves open or close the lids too, which calibration makes up for."""
REACH = {"yaw": 45.0, "pitch": 25.0}
"""Degrees either way that FFHQ holds; wanted poses approach them and never pass."""


@dataclass(frozen=True)
class ControlConfig:
    """Sizes and bounds."""

    factors: tuple[str, ...] = FACTORS
    n_motion_styles: int = 9
    """Only the first styles move; the fine ones are the person's own."""
    n_styles: int = 16
    w_dim: int = 512
    limit: float = 4.0
    """Units that a factor approaches and never passes."""
    bound: float = 4.0
    """Mahalanobis length in W that the move of a style approaches and never passes."""
    gates: int = 0
    """Facts about the person that the strengths of moves depend on; 0: alike for all."""


class Control(Storable, nn.Module):
    """Changes of factors to moves in W+."""

    role = "control"

    def __init__(self, config: ControlConfig):
        super().__init__()
        self.config = config
        n, styles = len(config.factors), config.n_motion_styles
        self.directions = nn.Parameter(torch.zeros(n, styles, config.w_dim))
        self.register_buffer("gram", torch.zeros(styles, n, n))  # of directions, in W's metric
        if config.gates:
            self.read_gates = nn.Linear(config.n_styles * config.w_dim, config.gates)
            self.strength = nn.Parameter(torch.zeros(styles, n, config.gates))

    @classmethod
    def unpack(cls, network: Network) -> tuple[ControlConfig, Mapping[str, Tensor]]:
        config = stored_config(ControlConfig, network)
        if config.factors != FACTORS:
            raise BadValue(f"control requires the factors {FACTORS}; the file has {config.factors}")
        return config, network.tensors

    @classmethod
    def from_directions(
        cls,
        directions: Float[Tensor, "n_factors n_motion_styles w_dim"],
        precision: Float[Tensor, "w_dim w_dim"],
        **config: Any,
    ) -> "Control":
        """
        Args:
            directions: Move of each style for one unit of each factor.
            precision: Inverse of the covariance of w, which measures lengths.
        """
        _, styles, w_dim = directions.shape
        control = cls(ControlConfig(n_motion_styles=styles, w_dim=w_dim, **config))
        control.directions.data.copy_(directions)
        d = directions.double()
        control.gram.copy_(torch.einsum("krd,de,lre->rkl", d, precision.double(), d))
        return control.eval()

    @classmethod
    def from_mapper(
        cls, mapper: LowRankMapper, precision: Float[Tensor, "w_dim w_dim"], bound: float
    ) -> "Control":
        """The moves of a mapper whose first coordinates of motion are the factors in units."""
        n, m = len(FACTORS), mapper.config
        gates = m.gates if isinstance(mapper, ConditionedMapper) else 0
        control = cls.from_directions(
            mapper.write[..., :n].permute(2, 0, 1), precision,
            n_styles=m.n_styles, bound=bound, gates=gates,
        )  # fmt: skip
        if gates:
            control.read_gates.load_state_dict(mapper.read_gates.state_dict())
            control.strength.data.copy_(mapper.strength[:, :n])
        return control

    def gains(self, w_plus: WPlus) -> Float[Tensor, "_ n_motion_styles n_factors"]:
        """How strongly each style of a person takes part in the move of each factor."""
        if not self.config.gates:
            return w_plus.new_ones(1, 1, 1)
        facts = self.read_gates(w_plus.flatten(1).to(self.directions)).tanh()
        return 1 + torch.einsum("rkg,bg->brk", self.strength, facts)

    def move(self, w_plus: WPlus, units: Units) -> Float[Tensor, "_ n_styles w_dim"]:
        """The codes with their factors changed; zero units give them back exactly.

        Args:
            w_plus: One code for all units, or one for each.
        """
        c = self.config
        t = bounded(units.to(self.directions), c.limit)[:, None] * self.gains(w_plus)
        t = t.expand(-1, c.n_motion_styles, -1)
        length = torch.einsum("frk,rkl,frl->fr", t, self.gram, t).clamp(min=0).sqrt()
        shrink = (1 + (length / c.bound) ** 4) ** -0.25
        delta = torch.einsum("frk,krd->frd", t, self.directions) * shrink[..., None]
        w_plus = w_plus.expand(max(len(units), len(w_plus)), -1, -1)
        moved = w_plus[:, : c.n_motion_styles] + delta.to(w_plus)
        return torch.cat([moved, w_plus[:, c.n_motion_styles :]], 1)

    def units(
        self,
        motion: Factors,
        own: Factors,
        neutral: Factors | None = None,
        relative: bool = False,
    ) -> Units:
        """How the person shall change to move like the driver.

        Pose, smile and the gap of the lips are the driver's own; other factors are the driver's
        change from neutral, because how lids and brows stand at rest is the person, not the motion.

        Args:
            motion: Read from the driver.
            own: Read from the person as generated from the unmoved code.
            neutral: The driver's neutral face; None takes all factors as absolute.
            relative: Take all factors as changes from the driver's neutral.
        """
        reach = torch.tensor([REACH.get(name, math.inf) for name in FACTORS]).to(motion)
        absolute = torch.tensor([name in ABSOLUTE and not relative for name in FACTORS])
        start = own if neutral is None else torch.where(absolute.to(own.device), own, neutral)
        return (bounded(motion, reach) - bounded(start, reach)) / unit_sizes(motion)

    def scaled(self, gain: Float[Tensor, " n_factors"]) -> "Control":
        """A control that moves each factor `gain` times as far."""
        control = copy.deepcopy(self)
        control.directions.data = self.directions.data * gain[:, None, None]
        control.gram.copy_(self.gram * gain[:, None] * gain)
        return control.eval()


class Calibration(NamedTuple):
    """How far one person's factors really go: requested units to those that reach them."""

    near: Float[Tensor, "2 n_factors"]
    """Units that a move of 1 was read to give, downwards and upwards."""
    far: Float[Tensor, "2 n_factors"]
    """The same of a move of `FAR`."""
    lids: Float[Tensor, "2 n_factors"]
    """Units by which lids open with a move of 1 of each factor, downwards and upwards."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, control: Control, w_plus: Float[Tensor, "1 n_styles w_dim"], read: Reader
    ) -> "Calibration":
        """Move every factor of a person alone, 1 and `FAR` units either way; read what comes."""
        moves = torch.eye(len(FACTORS)).to(w_plus)
        moves = torch.stack([-moves, moves, -FAR * moves, FAR * moves])
        found = read(control.move(w_plus, moves.flatten(0, 1))) - read(w_plus)
        found = (found / unit_sizes(w_plus)).view_as(moves)
        along = torch.tensor([float(name in PULL_AT_LIDS) for name in FACTORS]).to(found)
        lids = along * found[2:, :, FACTORS.index("lids")] / FAR
        own = found.diagonal(dim1=1, dim2=2) * found.new_tensor([[-1.0], [1.0], [-1.0], [1.0]])
        most = torch.tensor([LENGTHENED.get(name, 1.0) for name in FACTORS]).to(found)
        near = own[:2].clamp(max=SHORTENED).maximum(1 / most)
        far = torch.maximum(own[2:], near + (FAR - 1) / most)
        answers = own[2:] > LEAST_ANSWER * FAR
        return cls(torch.where(answers, near, 1.0), torch.where(answers, far, FAR), lids)

    def __call__(self, units: Units) -> Units:
        """Moves that change the factors by these units, as nearly as they can."""
        moves, k = self._lengthened(units), FACTORS.index("lids")
        lids = units.clone()
        lids[:, k] -= (moves.abs() * torch.where(moves < 0, self.lids[0], self.lids[1])).sum(1)
        moves[:, k] = self._lengthened(lids)[:, k]
        return moves

    def _lengthened(self, units: Units) -> Units:
        """Moves of each factor as if it moved alone."""
        near, far = (torch.where(units < 0, x[0], x[1]) for x in (self.near, self.far))
        size = units.abs()
        beyond = (size - near).clamp(min=0)
        return units.sign() * (size.minimum(near) / near + beyond * (FAR - 1) / (far - near))


def bounded(x: Tensor, limit: float | Tensor) -> Tensor:
    """x itself while small, and smoothly towards `limit` of its sign where large."""
    return x * (1 + (x / limit) ** 4) ** -0.25


def parse_factors(text: str) -> dict[str, float]:
    """`yaw=20,smile=.5` as factors by name, in the factors' own measure."""
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in FACTORS:
            raise BadValue(f"a factor is one of {', '.join(FACTORS)}; got {name[:40]!r}")
        try:
            values[name] = float(number)
        except ValueError:
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise BadValue(f"{name} requires a number, as in {name}=0.5; got {number[:40]!r}")
    return values


def units_of(values: Mapping[str, float], own: Factors) -> Units:
    """Units of explicit factors: pose as the angle to reach in degrees, all else as a change.

    Args:
        values: In the factors' own measure: degrees, ratios, blendshapes from 0 to 1.
        own: Read from the person.
    """
    change = torch.zeros_like(own)
    for name, value in values.items():
        k = FACTORS.index(name)
        change[:, k] = value - own[:, k] if name in PARTS["pose"] else value
    return change / unit_sizes(own)


def unit_sizes(like: Tensor) -> Float[Tensor, " n_factors"]:
    return torch.tensor(list(FACTOR_UNITS.values()), dtype=like.dtype, device=like.device)
