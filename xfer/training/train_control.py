"""Training of explicit control, in closed form: moves that change a factor and hold the person.

For a wanted change t of the factors the move dw minimises

    dw' M dw + (B' dw - t)' K^-1 (B' dw - t),    M = E[J'J] + a E[P'P] + b C^-1 for every style:

B are the mean gradients of the factors, J the Jacobian of a recogniser's code, P that of the image
outside the face, C the covariance of w. So a move changes the person, the surroundings and the
likelihood of the code as little as the motion allows, and K gives up what is too dear. Gradients at
rest miss what is not linear, so a part of the people is moved before theirs are taken.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from xfer.control import Control, unit_sizes
from xfer.landmarker import FACTORS, LandmarkerTwin, read_factors
from xfer.model import Transfer
from xfer.shapes import WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds

Rows = Float[Tensor, "rows n_motion_styles*w_dim"]

SPREAD = (1.0, 0.8, 1.2, 1.2, 0.6, 1.0, 0.6, 0.6, 1.0, 1.0, 0.8)
"""Standard deviation of the moves at which faces are measured, in units of each factor."""


@dataclass(frozen=True)
class ControlTraining:
    """How people are sampled, and what a move is charged for."""

    people: int = 186
    """Whose gradients are averaged."""
    moved: float = 0.15
    """Share of them who are moved first; more of them, and lids follow less well."""
    probes: int = 8
    """Random projections of the identity code for each person, and half as many of the image."""
    seed: int = 0
    psi: tuple[float, float] = (0.6, 1.0)
    head_images: int = 32
    """To which the preview's head is fitted."""
    n_motion_styles: int = 9
    identity: float = 30.0
    """Weights of what a move changes: the code of the recogniser, ..."""
    surroundings: float = 10.0
    """... the image outside the face, ..."""
    prior: float = 0.3
    """... and the likelihood of w."""
    bound: float = 6.0
    """As in `ControlConfig`."""
    given_up: dict[str, float] = field(
        default_factory=lambda: {
            "yaw": 0.04, "pitch": 0.08, "lip_gap": 0.01, "smile": 0.1, "pucker": 8.0,
            "lids": 0.05, "brow_up": 1.0, "brow_down": 0.6, "gaze_x": 0.2, "gaze_y": 0.4,
            "upper_lip": 0.5,
        }
    )  # fmt: skip
    """How readily a factor is given up: K over what its move costs."""
    gain: dict[str, float] = field(default_factory=lambda: {"lip_gap": 1.1, "smile": 1.1})
    """Of the finished moves, for what far ones lack on films."""


class Gradients(NamedTuple):
    """Of one face, with respect to its motion styles."""

    factors: Float[Tensor, "n_factors n"]
    """In units."""
    identity: Rows
    """Rows whose squares sum to the squared change of the identity code, in expectation."""
    surroundings: Rows
    """The same for the mean squared change of the image outside the face."""


def train_control(
    out: str | Path = "control.safetensors",
    people: int = ControlTraining.people,
    seed: int = 0,
    recogniser: str = "auto",
) -> Path:
    """Learn explicit control of the faces of "ffhq", without labels; minutes on two cores.

    Args:
        out: File to write.
        people: Generated people whose gradients are averaged.
        recogniser: Whose code holds the person, as `recognition.open_recogniser` names them.
    """
    from xfer.recognition import open_recogniser

    start, config = time.perf_counter(), ControlTraining(people=people, seed=seed)
    generator = Generator.load("ffhq").requires_grad_(False)
    control = learn(generator, open_recogniser(recogniser), config)
    facts = {"training": asdict(config), "seconds": round(time.perf_counter() - start)}
    return Transfer(generator, control=control).save(out, {"control": facts}, torch.float16)


def learn(generator: Any, recogniser: nn.Module, config: ControlTraining) -> Control:
    """The whole of it: gradients of faces at rest and of moved ones, and moves."""
    covariance = latent_covariance(generator)
    face = FaceGradients(generator, recogniser, config)
    rng = torch.Generator().manual_seed(config.seed)
    n_rest = round(config.people * (1 - config.moved))
    people = list(face.people(config.people))
    faces = [face.gradients(w) for w in tqdm(people[:n_rest], "faces at rest")]
    first = solve(faces, covariance, config)
    for w in tqdm(people[n_rest:], "moved faces"):
        units = torch.randn(1, len(FACTORS), generator=rng) * torch.tensor(SPREAD)
        faces.append(face.gradients(first.move(w, units)))
    gain = torch.tensor([config.gain.get(name, 1.0) for name in FACTORS])
    return solve(faces, covariance, config).scaled(gain)


class FaceGradients:
    """Codes of generated people to images, factors and identity codes."""

    def __init__(self, generator: Any, recogniser: nn.Module, config: ControlTraining):
        self.generator, self.recogniser, self.config = generator, recogniser, config
        self.twin, self.styles = LandmarkerTwin(), config.n_motion_styles
        codes = torch.cat(list(self.people(config.head_images, start=20_000)))
        self.weight, self.bias = linear_head(generator, codes)
        self.rng = torch.Generator().manual_seed(config.seed + 1)
        self.outside = outside_face(64)

    def people(self, n: int, start: int = 0) -> Iterator[WPlus]:
        """Random people, by number: other numbers are other people."""
        low, high = self.config.psi
        for i in range(start, start + n):
            z = z_from_seeds([1_000_003 * (self.config.seed + 1) + i], self.generator.z_dim)
            psi = low + (high - low) * (i * 0.618 % 1)
            w_plus = self.generator.to_w_plus(self.generator.mapping(z))
            yield self.generator.truncate(w_plus, psi).detach()

    def image(self, w_plus: WPlus) -> Float[Tensor, "batch 3 256 256"]:
        """A preview by a linear head: its gradients are smoother than the learned head's."""
        features = self.generator.features(w_plus, upto=128)["128_conv1"]
        return self.generator.haar(F.conv2d(features, self.weight, self.bias))

    def gradients(self, w_plus: WPlus) -> Gradients:
        """Of factors, identity and surroundings at one code."""
        w_plus = w_plus.detach().clone().requires_grad_()
        image = self.image(w_plus)
        factors = read_factors(*self.twin(image))[0] / unit_sizes(w_plus)
        code = self.recogniser(image)[0]
        low = F.avg_pool2d(image, 4)[0] * self.outside

        def gradient(value: Tensor) -> Tensor:
            (grad,) = torch.autograd.grad(value, w_plus, retain_graph=True)
            return grad[0, : self.styles].flatten()

        n, half = self.config.probes, self.config.probes // 2
        u = F.normalize(torch.randn(n, len(code), generator=self.rng), dim=1)
        v = torch.randn(half, *low.shape, generator=self.rng)
        identity = torch.stack([gradient((p * code).sum()) for p in u]) * (len(code) / n) ** 0.5
        around = torch.stack([gradient((p * low).sum()) for p in v])
        around = around / (3 * self.outside.sum() * half) ** 0.5
        return Gradients(torch.stack([gradient(f) for f in factors]), identity, around)


def outside_face(size: int) -> Float[Tensor, "{size} {size}"]:
    """1 outside an ellipse around the face of aligned images, 0 inside."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    return ((x / 0.62) ** 2 + ((y - 0.1) / 0.78) ** 2 > 1).float()


@torch.no_grad()
def linear_head(
    generator: Any, codes: WPlus
) -> tuple[Float[Tensor, "12 channels 1 1"], Float[Tensor, "12"]]:
    """Weight and bias from features at 128 px to an image of 256 px, by least squares."""
    squares, products = 0.0, 0.0
    for w in tqdm(codes.split(1), "fitting a head"):
        found: dict[str, Tensor] = {}
        image = generator.synthesis(w, features=found)
        p = F.avg_pool2d(image, image.shape[-1] // 256)
        a, b, c, d = p[..., ::2, ::2], p[..., ::2, 1::2], p[..., 1::2, ::2], p[..., 1::2, 1::2]
        details = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 2).flatten(1, 2)
        wanted = torch.cat([a + b + c + d, details], 1)[0].flatten(1).T / 2  # Haar's transform
        x = F.pad(found["128_conv1"][0].flatten(1).T, (0, 1), value=1.0)
        squares, products = squares + (x.T @ x).double(), products + (x.T @ wanted).double()
    ridge = 1e-3 * squares.diagonal().mean() * torch.eye(len(squares), dtype=squares.dtype)
    fitted = torch.linalg.solve(squares + ridge, products).float()
    return fitted[:-1].T[:, :, None, None].contiguous(), fitted[-1]


@torch.no_grad()
def latent_covariance(generator: Any, samples: int = 8000) -> Float[Tensor, "w_dim w_dim"]:
    z = z_from_seeds(range(samples), generator.z_dim)
    w = torch.cat([generator.mapping(part) for part in z.split(500)]).double()
    return torch.cov(w.T) + 1e-4 * torch.eye(w.shape[1], dtype=w.dtype)


def solve(
    faces: list[Gradients], covariance: Float[Tensor, "w_dim w_dim"], config: ControlTraining
) -> Control:
    """Moves of one unit of each factor: M^-1 B (B' M^-1 B + K)^-1."""
    n, w_dim = len(faces), len(covariance)
    B = torch.stack([f.factors for f in faces]).mean(0).T.double()
    weights = config.identity**0.5, config.surroundings**0.5
    weighted = [torch.cat([f.identity * weights[0], f.surroundings * weights[1]]) for f in faces]
    rows = torch.cat(weighted).double() / n**0.5

    def free(x: Tensor) -> Tensor:  # times (prior C^-1)^-1, style by style
        x = x.reshape(config.n_motion_styles, w_dim, -1)
        return (covariance / config.prior @ x).flatten(0, 1)

    # Woodbury's identity: far fewer rows than dimensions.
    free_rows = free(rows.T)
    small = torch.eye(len(rows), dtype=rows.dtype) + rows @ free_rows
    inverse_B = free(B) - free_rows @ torch.linalg.solve(small, rows @ free(B))
    T = B.T @ inverse_B
    kappa = torch.tensor([config.given_up[name] for name in FACTORS], dtype=T.dtype)
    moves = inverse_B @ torch.linalg.inv(T + torch.diag(kappa * T.diagonal()))
    directions = moves.T.reshape(-1, config.n_motion_styles, w_dim)
    precision = torch.linalg.inv(covariance)
    return Control.from_directions(directions.float(), precision, bound=config.bound)
