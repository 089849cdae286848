"""Identity code and motion code to one latent in W+, in two kinds.

`affine` is the paper's: one layer over both codes, so that motion does the same to everyone.
`conditioned` is ours: few directions of motion, read and drawn per layer, whose strength depends
on who moves.

For a given person both are affine in the motion code, and the motion code is affine in the motion
encoder's bottleneck h. So z = offset + matrix h, with both computed once per person.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadFile, expect
from xfer.shapes import WPlus

MotionWeight = Float[Tensor, "size bottleneck"]
MotionBias = Float[Tensor, " size"]

PAPER_W_DIM = 512
"""Width of a style in the paper's file, which does not state it."""


@dataclass(frozen=True)
class MapperConfig:
    """Kind and sizes of a mapper."""

    kind: Literal["affine", "conditioned"] = "affine"
    n_styles: int = 18
    w_dim: int = 512
    init: Literal["identity", "paper"] = "identity"
    """identity: start by copying the identity; paper: weights 1e-5, biases 1e-3 (affine only)."""
    rank: int = 128
    """Directions of motion (conditioned only)."""
    gates: int = 64
    """Facts about the person that the strengths depend on (conditioned only)."""
    direct: bool = False
    """A whole layer for motion beside the few directions, the same for all (conditioned only)."""

    def __post_init__(self):
        expect(
            self.kind in ("affine", "conditioned"),
            f"a mapper is 'affine' or 'conditioned'; got {self.kind!r}",
        )
        starts = ("identity", "paper") if self.kind == "affine" else ("identity",)
        expect(
            self.init in starts,
            f"an {self.kind} mapper starts from {' or '.join(starts)}; got {self.init!r}",
        )
        expect(
            self.kind == "conditioned" or not self.direct,
            "an affine mapper is direct as it is; direct is for conditioned ones",
        )
        for name in ("n_styles", "w_dim", "rank", "gates"):
            expect(getattr(self, name) >= 1, f"{name} is at least 1; got {getattr(self, name)}")

    @property
    def size(self) -> int:
        """Numbers in one code."""
        return self.n_styles * self.w_dim


class Response(NamedTuple):
    """How people answer to motion: z = offset + matrix h."""

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
        return build_mapper(config)

    @abstractmethod
    def forward(self, identity: WPlus, motion: WPlus) -> WPlus:
        """The plain path: `motion` is the motion encoder's code."""

    @abstractmethod
    def responder(self, weight: MotionWeight, bias: MotionBias) -> Callable[[WPlus], Response]:
        """The cheap path for motion codes `weight h + bias`.

        What is common to all people is computed now; the function returned takes identity codes.
        """


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
        return nn.functional.linear(both, self.weight, self.bias).view_as(identity)

    def responder(self, weight: MotionWeight, bias: MotionBias) -> Callable[[WPlus], Response]:
        of_identity, of_motion = self.weight.chunk(2, dim=1)
        codes = (self.config.n_styles, self.config.w_dim)
        matrix = (of_motion @ weight).unflatten(0, codes)[None]
        constant = of_motion @ bias + self.bias

        def respond(identity: WPlus) -> Response:
            offset = nn.functional.linear(identity.flatten(1), of_identity, constant)
            return Response(offset.view_as(identity), matrix)

        return respond


class ConditionedMapper(Mapper):
    """z_l = i_l + U_l (g_l * q) + c_l, with q = V m - N i + v and g_l = 1 + P_l tanh(Q i + u).

    q is the change from the motion that the identity picture happens to show to the driver's, in
    `rank` coordinates; g_l is how strongly this person's layer l takes part in each of them.
    It starts by copying the identity (U = 0) with equal strengths for all (P = 0). `direct` adds
    D m, as in the affine mapper: products of layers learn one direction after the other, the
    strongest first, and a single layer learns all at once.
    """

    def __init__(self, config: MapperConfig):
        super().__init__(config)
        n_styles, w_dim, rank, gates = config.n_styles, config.w_dim, config.rank, config.gates
        self.read_motion = nn.Linear(config.size, rank)  # V, v
        self.read_identity = nn.Linear(config.size, rank, bias=False)  # N
        self.read_gates = nn.Linear(config.size, gates)  # Q, u
        self.strength = nn.Parameter(torch.zeros(n_styles, rank, gates))  # P
        self.draw = nn.Parameter(torch.zeros(n_styles, w_dim, rank))  # U
        self.bias = nn.Parameter(torch.zeros(n_styles, w_dim))  # c
        if config.direct:
            self.direct = nn.Parameter(torch.zeros(config.size, config.size))  # D

    def forward(self, identity: WPlus, motion: WPlus) -> WPlus:
        own = self.read_identity(identity.flatten(1))
        change = self.read_motion(motion.flatten(1)) - own
        gated = self._strengths(identity) * change[:, None]
        latent = identity + torch.einsum("lwr,blr->blw", self.draw, gated) + self.bias
        if self.config.direct:
            latent = latent + (motion.flatten(1) @ self.direct.T).view_as(identity)
        return latent

    def responder(self, weight: MotionWeight, bias: MotionBias) -> Callable[[WPlus], Response]:
        read = self.read_motion.weight @ weight
        constant = self.read_motion(bias)
        codes = (self.config.n_styles, self.config.w_dim)
        straight = (self.direct @ weight).unflatten(0, codes) if self.config.direct else 0.0
        fixed = (self.direct @ bias).unflatten(0, codes) if self.config.direct else 0.0

        def respond(identity: WPlus) -> Response:
            draw = self.draw * self._strengths(identity)[:, :, None]
            rest = constant - self.read_identity(identity.flatten(1))
            offset = identity + torch.einsum("blwr,br->blw", draw, rest) + self.bias + fixed
            return Response(offset, draw @ read + straight)

        return respond

    def _strengths(self, identity: WPlus) -> Float[Tensor, "batch n_styles rank"]:
        facts = self.read_gates(identity.flatten(1)).tanh()
        return 1 + torch.einsum("lrg,bg->blr", self.strength, facts)


KINDS = {"affine": AffineMapper, "conditioned": ConditionedMapper}


def build_mapper(config: MapperConfig) -> Mapper:
    """The mapper of the kind that the configuration names."""
    return KINDS[config.kind](config)
