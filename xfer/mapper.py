"""Identity code and motion code to one latent in W+, in three kinds.

`affine` is the paper's: one layer over both codes, so that motion does the same to everyone.
`low_rank` is the same with less: the identity code goes through, and the change from its own motion
to the driver's adds to some styles in few directions. `conditioned` is ours: how strongly each
direction acts depends on who moves.

For a given person all are affine in the motion code, and the motion code is affine in the motion
encoder's bottleneck h. So z = offset + matrix h, with both computed once per person.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadFile, BadValue
from xfer.shapes import WPlus

MotionWeight = Float[Tensor, "size bottleneck"]
MotionBias = Float[Tensor, " size"]

PAPER_W_DIM = 512
"""Width of a style in the paper's file, which does not state it."""


@dataclass(frozen=True)
class MapperConfig:
    """Kind and sizes of a mapper. The defaults are the paper's."""

    kind: Literal["affine", "low_rank", "conditioned"] = "affine"
    n_styles: int = 18
    w_dim: int = 512
    init: Literal["identity", "paper"] = "identity"
    """identity: start by copying the identity; paper: weights 1e-5, biases 1e-3 (affine only)."""
    rank: int = 128
    """Directions of motion (not of the affine kind)."""
    gates: int = 64
    """Facts about the person that the strengths depend on (conditioned only)."""
    motion_styles: int = 0
    """How many styles motion moves, from the first; 0 for all (not of the affine kind)."""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise BadValue(f"a mapper is {', '.join(KINDS)}; got {self.kind!r}")
        if self.init != "identity" and (self.init, self.kind) != ("paper", "affine"):
            raise BadValue(f"init is identity, or paper if affine; got {self.init}, {self.kind}")

    @property
    def size(self) -> int:
        """Numbers in one code."""
        return self.n_styles * self.w_dim

    @property
    def moved(self) -> int:
        """Styles that motion moves."""
        return min(self.motion_styles or self.n_styles, self.n_styles)


class Person(NamedTuple):
    """How someone answers to motion, z = offset + matrix h; rows are people."""

    offset: WPlus
    matrix: Float[Tensor, "_ n_styles w_dim bottleneck"]
    """One for each person, or one for all."""

    def latents(self, h: Float[Tensor, "batch bottleneck"]) -> Float[Tensor, "_ n_styles w_dim"]:
        """Latents of a batch of motions, for one person or for as many people as motions."""
        matrix = self.matrix.flatten(1, 2)
        shared = len(matrix) == 1
        motion = h @ matrix[0].T if shared else (matrix @ h[:, :, None]).squeeze(2)
        return self.offset + motion.unflatten(1, self.offset.shape[1:])


class Mapper(Storable, nn.Module, ABC):
    """Both codes to the latent of the person with the driver's motion."""

    role = "mapper"

    def __init__(self, config: MapperConfig):
        super().__init__()
        self.config = config

    @classmethod
    def unpack(cls, network: Network) -> tuple[MapperConfig, Mapping[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(MapperConfig, network), network.tensors
        weight, bias = (network.tensors[f"linear_relu.0.{name}"] for name in ("weight", "bias"))
        n_styles, rest = divmod(len(bias), PAPER_W_DIM)
        if rest or n_styles == 0:
            raise BadFile(f"the paper's mapper writes styles of {PAPER_W_DIM}; got {len(bias)}")
        return MapperConfig("affine", n_styles, PAPER_W_DIM), {"weight": weight, "bias": bias}

    @classmethod
    def build(cls, config: MapperConfig) -> "Mapper":
        """The mapper of the kind that the configuration names."""
        return KINDS[config.kind](config)

    @abstractmethod
    def forward(self, identity: WPlus, motion: WPlus) -> WPlus:
        """The plain path: `motion` is the motion encoder's code."""

    @abstractmethod
    def person(self, identity: WPlus, weight: MotionWeight, bias: MotionBias) -> Person:
        """The cheap path for motion codes `weight h + bias`."""


class AffineMapper(Mapper):
    """z = W_i i + W_m m + c over flattened codes (Jahoda and Cech, 2024)."""

    def __init__(self, config: MapperConfig):
        super().__init__(config)
        size = config.size
        if config.init == "paper":
            weight, bias = torch.full((size, 2 * size), 1e-5), torch.full((size,), 1e-3)
        else:
            weight, bias = torch.eye(size, 2 * size), torch.zeros(size)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, identity: WPlus, motion: WPlus) -> WPlus:
        both = torch.cat([identity.flatten(1), motion.flatten(1)], dim=1)
        return F.linear(both, self.weight, self.bias).view_as(identity)

    def person(self, identity: WPlus, weight: MotionWeight, bias: MotionBias) -> Person:
        of_identity, of_motion = self.weight.chunk(2, dim=1)
        offset = F.linear(identity.flatten(1), of_identity, of_motion @ bias + self.bias)
        matrix = (of_motion @ weight).view(1, *identity.shape[1:], -1)
        return Person(offset.view_as(identity), matrix)


class LowRankMapper(Mapper):
    """z_l = i_l + U_l q + c_l, with the change of motion q = V m - N i + v in `rank` coordinates.

    N i is the motion that the identity image itself has. It starts by copying the identity (U = 0).
    """

    def __init__(self, config: MapperConfig):
        super().__init__(config)
        self.read_motion = nn.Linear(config.size, config.rank)  # V, v
        self.read_identity = nn.Linear(config.size, config.rank, bias=False)  # N
        self.write = nn.Parameter(torch.zeros(config.moved, config.w_dim, config.rank))  # U
        self.bias = nn.Parameter(torch.zeros(config.n_styles, config.w_dim))  # c

    def forward(self, identity: WPlus, motion: WPlus) -> WPlus:
        change = self.read_motion(motion.flatten(1)) - self.own_motion(identity)
        return self.moved(identity, change)

    def moved(self, identity: WPlus, change: Float[Tensor, "batch rank"]) -> WPlus:
        """Identity codes after a change of motion q."""
        acting = self.gains(identity) * change[:, None]
        written = torch.einsum("lwr,blr->blw", self.write, acting)
        return identity + self._all_styles(written) + self.bias

    def person(self, identity: WPlus, weight: MotionWeight, bias: MotionBias) -> Person:
        offset = self.moved(identity, self.read_motion(bias) - self.own_motion(identity))
        read = self.read_motion.weight @ weight
        matrix = (self.write * self.gains(identity)[:, :, None]) @ read
        return Person(offset, self._all_styles(matrix))

    def own_motion(self, identity: WPlus) -> Float[Tensor, "_ rank"]:
        """N i: what of the motion read is the identity's own and subtracted."""
        return self.read_identity(identity.flatten(1))

    def gains(self, identity: WPlus) -> Float[Tensor, "_ moved rank"]:
        """How strongly each style takes part in each direction: here alike for all."""
        return identity.new_ones(1, self.config.moved, self.config.rank)

    def _all_styles(self, x: Float[Tensor, "batch moved *_"]) -> Float[Tensor, "batch n_styles *_"]:
        """With zeros for the styles that do not move."""
        rest = (len(x), self.config.n_styles - self.config.moved, *x.shape[2:])
        return torch.cat([x, x.new_zeros(rest)], dim=1)


class ConditionedMapper(LowRankMapper):
    """z_l = i_l + U_l (g_l * q) + c_l, with gains g_l = 1 + P_l tanh(Q i + u).

    g_l is how strongly this person's style l takes part in each coordinate of motion; it starts
    with equal gains for all (P = 0).
    """

    def __init__(self, config: MapperConfig):
        super().__init__(config)
        self.read_gates = nn.Linear(config.size, config.gates)  # Q, u
        self.strength = nn.Parameter(torch.zeros(config.moved, config.rank, config.gates))  # P

    def gains(self, identity: WPlus) -> Float[Tensor, "_ moved rank"]:
        facts = self.read_gates(identity.flatten(1)).tanh()
        return 1 + torch.einsum("lrg,bg->blr", self.strength, facts)


KINDS = {"affine": AffineMapper, "low_rank": LowRankMapper, "conditioned": ConditionedMapper}
