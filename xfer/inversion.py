"""Inversion: the code of a photo in W+, and the generator tuned to it.

A code is found by gradient descent on what the photo shows; small previews serve most steps. Prior:
Zhu et al., "Improved StyleGAN Embedding", 2020 (P-space). Tuning: Roich et al., "Pivotal Tuning for
Latent-based Editing of Real Images", 2021.
"""

import copy
import functools
import hashlib
import json
import math
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from xfer.assets import cache_folder
from xfer.errors import BadValue, UnwritableFile
from xfer.landmarker import LandmarkerTwin
from xfer.perceptual import FACE, PerceptualFeatures
from xfer.runs import atomic
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import z_from_seeds


@dataclass(frozen=True)
class InversionConfig:
    """Weights of the losses, and how steps are spent."""

    learning_rate: float = 0.06
    full_share: float = 0.1
    """Of the steps, the last ones, that are rendered at full size."""
    pixels: float = 0.6
    eyes: float = 8.0
    """Of the colours around both eyes: they are small, and everybody sees when they are wrong."""
    perceptual: float = 0.3
    perceptual_face: float = 1.6
    """The likeness: without it and the landmarks, dlib's distance is .12 greater."""
    landmarks: float = 1.0
    identity: float = 3.0
    """Of one minus the cosine of the codes, where there is a recogniser: of 1, 3 and 6 the best."""
    offsets: float = 1e-3
    """Of the squared distance of styles from their common w."""
    prior: float = 2e-4
    """Of the squared whitened length of w in P-space."""
    tuning_rate: float = 2e-4
    """Learning rate of the generator's weights in `refine`."""
    tuning_decay: float = 10.0
    """Of the squared change of the weights, relative to theirs."""


@dataclass
class Inversion:
    """What was found, and what it took."""

    w_plus: Float[Tensor, "1 n_styles w_dim"]
    losses: dict[str, float] = field(default_factory=dict)
    """Unweighted, of the last step."""
    seconds: float = 0.0
    """Of the run that found it; it may come from the cache since."""


def invert(
    photos: Image,
    generator: Any,
    steps: int = 100,
    recogniser: nn.Module | None = None,
    config: InversionConfig | None = None,
    start: WPlus | None = None,
    cache: bool = True,
    progress: bool = True,
) -> Inversion:
    """The code whose image looks like the photos of one person.

    Args:
        photos: FFHQ-aligned, 256 px or more; of several, the code is that of their mean.
        steps: 50 give a likeness, 100 a good one.
        recogniser: Aligned image of 256 px to unit code: a loss of identity, where one is at hand.
        start: A code for each photo, as an identity encoder finds it; by default the mean of w.
        cache: Look among earlier inversions first, and keep this one.
    """
    config = config or InversionConfig()
    if steps < 1:
        raise BadValue(f"an inversion takes 1 step or more; got {steps}")
    known = {"steps": steps, "recogniser": _name(recogniser)} | asdict(config)
    place = cached_path([photos, *([] if start is None else [start])], generator, **known)
    if cache and place.exists():
        return _load(place)
    began = time.perf_counter()
    space, n = PSpace.of(generator), len(photos)
    targets = [Target(photo[None], recogniser) for photo in photos]
    common = torch.zeros(space.dim, device=photos.device)
    offsets = torch.zeros(n, generator.n_styles, generator.w_dim, device=photos.device)
    if start is not None:
        common = space.from_w(start.mean((0, 1)))
        offsets = start - space.to_w(common)
    common.requires_grad_(), offsets.requires_grad_()
    rate = config.learning_rate
    optimizer = torch.optim.Adam(
        [{"params": [common], "lr": 4 * rate}, {"params": [offsets], "lr": rate / 2}],
        betas=(0.9, 0.95),
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i / steps))
    n_full = math.ceil(config.full_share * steps)
    losses: dict[str, Tensor] = {}
    for step in tqdm(range(steps), "inverting", disable=not progress, leave=False):
        w_plus = space.to_w(common)[None] + offsets
        size = _size(generator, step / steps, steps - step <= n_full)
        total = 0.0
        for target, code in zip(targets, w_plus.split(1), strict=True):
            losses = target.losses(draw(generator, code, size))
            losses["offsets"] = (code[0] - space.to_w(common)).square().sum(1).mean()
            losses["prior"] = common.square().mean()
            total = total + _weighted(losses, config) / n
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        w_plus = space.to_w(common)[None] + offsets.mean(0, keepdim=True)
    last = {name: float(value.detach()) for name, value in losses.items()}
    inversion = Inversion(w_plus, last, time.perf_counter() - began)
    if cache:
        facts = {"losses": inversion.losses, "seconds": inversion.seconds}
        _save(place, {"w_plus": inversion.w_plus}, facts)
    return inversion


def refine(
    inversion: Inversion,
    photo: Float[Tensor, "1 3 height width"],
    generator: Any,
    steps: int = 40,
    recogniser: nn.Module | None = None,
    config: InversionConfig | None = None,
    cache: bool = True,
    progress: bool = True,
) -> Any:
    """A copy of the generator, tuned until the code's image is the photo (pivotal tuning).

    Args:
        steps: Rendered at full size, about 1.5 s each on two cores.
    """
    config = config or InversionConfig()
    tuned = copy.deepcopy(generator).requires_grad_(False)
    weights = {k: v for k, v in tuned.named_parameters() if not k.startswith("mapping")}
    code = hashlib.sha256(inversion.w_plus.cpu().numpy().tobytes()).hexdigest()
    code += _name(recogniser)
    place = cached_path([photo], generator, tuning=steps, code=code, **asdict(config))
    if cache and place.exists():
        for name, delta in load_file(place).items():
            weights[name].data += delta.to(weights[name])
        return tuned
    target, start = Target(photo, recogniser), {k: v.clone() for k, v in weights.items()}
    for weight in weights.values():
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights.values(), config.tuning_rate, betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i / steps))
    for _ in tqdm(range(steps), "refining", disable=not progress, leave=False):
        losses = target.losses(draw(tuned, inversion.w_plus, None))
        change = sum((w - start[k]).square().sum() for k, w in weights.items())
        size = sum(w.square().sum() for w in start.values())
        optimizer.zero_grad()
        (_weighted(losses, config) + config.tuning_decay * change / size).backward()
        optimizer.step()
        scheduler.step()
    tuned.requires_grad_(False)
    if cache:
        deltas = {k: (w.detach() - start[k]).half().contiguous() for k, w in weights.items()}
        _save(place, deltas, {"steps": steps})
    return tuned


def draw(generator: Any, w_plus: WPlus, size: int | None) -> Image:
    """An image: a preview of 128 or 256 px, or (None) the whole one."""
    return generator.synthesis(w_plus) if size is None else generator.preview(w_plus, size)


EYES = (33, 133, 159, 145), (362, 263, 386, 374)
"""Landmarks: corners and lids."""


def _box(points: Float[Tensor, "n 2"], margin: int = 3) -> tuple[slice, slice]:
    """Rows and columns around points of an image of 256 px; never empty."""
    left, top = (points.amin(0).int() - margin).clamp(0, 255).tolist()
    right, bottom = (points.amax(0).int() + margin + 1).clamp(1, 256).tolist()
    return slice(top, bottom), slice(left, right)


class Target:
    """A photo, and how far an image is from it."""

    def __init__(self, photo: Float[Tensor, "1 3 height width"], recogniser: nn.Module | None):
        if min(photo.shape[2:]) < 256:
            raise BadValue(f"a photo of 256 px or more is required; got {tuple(photo.shape[2:])}")
        self.recogniser = recogniser
        self.perceptual, self.twin = (part.to(photo.device) for part in _networks())
        with torch.no_grad():
            self.photo = resized(photo, 256)
            self.face = self._zoomed(photo)
            self.stages = self.perceptual.stages(self.photo)
            self.face_stages = self.perceptual.stages(self.face)
            self.points = self.twin(self.photo)[0]
            self.eyes = [_box(self.points[0, list(eye), :2]) for eye in EYES]
            self.code = recogniser(self.photo) if recogniser else None

    def losses(self, image: Image) -> dict[str, Tensor]:
        """By the names of their weights in the configuration."""
        small = resized(image, 256)
        face = self._zoomed(image)
        points = self.twin(small)[0]
        pixels = (small - self.photo).abs().mean() + 0.5 * (face - self.face).abs().mean()
        coarse = F.avg_pool2d(small - self.photo, 8).abs().mean()
        losses = {
            "pixels": pixels + coarse,
            "eyes": sum((small - self.photo)[..., *eye].abs().mean() for eye in self.eyes) / 2,
            "perceptual": self.perceptual.distance(
                self.perceptual.stages(small), self.stages
            ).sum(),
            "perceptual_face": self.perceptual.distance(
                self.perceptual.stages(face), self.face_stages
            ).sum(),
            # Over the distance of the eyes, about 60 px; in depth the reader is unsure.
            "landmarks": (points - self.points)[..., :2].norm(dim=2).mean() / 6,
        }
        if self.recogniser is not None:
            losses["identity"] = 1 - (self.recogniser(small) * self.code).sum()
        return losses

    @staticmethod
    def _zoomed(image: Image) -> Float[Tensor, "1 3 256 256"]:
        """The face alone, as large as the image has it."""
        scale = image.shape[-1] / 256
        rows, columns = (slice(int(s.start * scale), int(s.stop * scale)) for s in FACE)
        return resized(image[:, :, rows, columns], 256)


class PSpace(NamedTuple):
    """W before the mapping's last leaky ReLU, whitened: nearly a standard normal."""

    mean: Float[Tensor, " w_dim"]
    basis: Float[Tensor, "dim w_dim"]
    """Principal axes, as long as the standard deviation along them."""
    gain: float = math.sqrt(2)

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Any, samples: int = 4000) -> "PSpace":
        z = z_from_seeds(range(samples), generator.z_dim).to(generator.w_mean)
        p = F.leaky_relu(torch.cat([generator.mapping(part) for part in z.split(500)]), 5.0)
        mean = p.mean(0)
        values, axes = torch.linalg.eigh(torch.cov((p - mean).T).double())
        basis = (axes * values.clamp(min=1e-8).sqrt()).T.to(p).flip(0)
        return cls(mean, basis[: max(1, len(basis) * 3 // 4)])

    @property
    def dim(self) -> int:
        return len(self.basis)

    def from_w(self, w: Float[Tensor, " w_dim"]) -> Float[Tensor, " dim"]:
        """Coordinates of the nearest w that has some."""
        p = F.leaky_relu(w, 5.0) - self.mean
        return self.basis @ p / self.basis.square().sum(1)

    def to_w(self, x: Float[Tensor, " dim"]) -> Float[Tensor, " w_dim"]:
        """Leaky ReLU of slope 5 undoes that of slope 1/5; gains cancel."""
        return F.leaky_relu(self.mean + x @ self.basis, 0.2)


def resized(image: Image, size: int) -> Float[Tensor, "batch 3 size size"]:
    """With antialiasing; by averaging where the sizes divide."""
    if image.shape[-1] == size:
        return image
    if image.shape[-1] % size == 0 and image.shape[-2] == image.shape[-1]:
        return F.avg_pool2d(image, image.shape[-1] // size)
    return F.interpolate(image, (size, size), mode="bilinear", antialias=True, align_corners=False)


@functools.cache
def _networks() -> tuple[PerceptualFeatures, LandmarkerTwin]:
    return PerceptualFeatures(), LandmarkerTwin()


def _weighted(losses: dict[str, Tensor], config: InversionConfig) -> Tensor:
    return sum(getattr(config, name) * value for name, value in losses.items())


def _rate(done: float) -> float:
    """Warm-up over the first 5%, then half a cosine down to a twentieth."""
    return min(1.0, (done + 0.01) / 0.05) * (0.525 + 0.475 * math.cos(math.pi * done))


def _size(generator: Any, done: float, full: bool) -> int | None:
    """Edge of the image of a step: coarse things first, the whole image last."""
    if full or not hasattr(generator, "preview"):
        return None
    return 128 if done < 0.25 else 256


def _name(recogniser: nn.Module | None) -> str:
    return getattr(recogniser, "name", type(recogniser).__name__)


def cached_path(tensors: list[Tensor], generator: Any, **settings: Any) -> Path:
    """Where the result of these settings is cached."""
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in (*tensors, generator.w_mean, *generator.parameters()):
        key.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return cache_folder() / "inversions" / f"{key.hexdigest()[:32]}.safetensors"


def _save(place: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic(place) as path:
            save_file(tensors, path, {"facts": json.dumps(facts)})
    except UnwritableFile as error:
        warnings.warn(f"{place} was not written, so it is computed again: {error}", stacklevel=3)


def _load(place: Path) -> Inversion:
    with safe_open(place, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
        return Inversion(file.get_tensor("w_plus"), facts["losses"], facts["seconds"])
