"""Previews: small images read from a generator's inner features by learned heads."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import trange

from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadValue
from xfer.shapes import Features, WPlus
from xfer.stylegan2.layers import InverseHaar

SIZES = (128, 256)
"""Edges of previews in pixels."""

PATCHES = 3
"""Of every image, in training."""


@dataclass(frozen=True)
class PreviewConfig:
    """Sizes of the two heads."""

    channels_64: int = 512
    """Of the features at 64 px, which the image of 128 px is made of."""
    channels_128: int = 256
    """Of the features at 128 px, which the image of 256 px is made of."""
    width_64: int = 64
    """Channels inside the head on the features at 64 px."""
    width_128: int = 48
    n_styles: int = 16
    w_dim: int = 512
    first_fine_64: int = 9
    """The first style that the features at 64 px do not know of yet."""
    first_fine_128: int = 11


class PreviewHead(nn.Module):
    """Features to an image of twice their resolution: a few convolutions, then inverse Haar.

    The styles of the layers that are left out colour the image, so they modulate the head.
    """

    def __init__(
        self, reads: int, channels: int, width: int, n_convs: int, n_fine: int, w_dim: int
    ):
        super().__init__()
        self.reads = reads
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.styles = nn.Sequential(nn.Linear(n_fine * w_dim, 32), nn.Linear(32, 2 * width))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(n_convs))
        self.to_wavelets, self.haar = nn.Conv2d(2 * width, 12, 3, padding=1), InverseHaar()
        nn.init.zeros_(self.styles[1].weight)
        nn.init.zeros_(self.styles[1].bias)

    def forward(
        self, features: Features, fine: Float[Tensor, "batch n_fine w_dim"]
    ) -> Float[Tensor, "batch 3 height_out width_out"]:
        gain, bias = self.styles(fine.flatten(1))[:, :, None, None].chunk(2, 1)
        first = self.squeeze(features) * (1 + gain) + bias
        x = F.leaky_relu(first, 0.2)
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return self.haar(self.to_wavelets(torch.cat([first, x], 1)))


class Preview(Storable, nn.Module):
    """Both heads: 256 px for the eye, 128 px (a third of the time) for losses."""

    role = "preview"

    def __init__(self, config: PreviewConfig):
        super().__init__()
        self.config = config
        n_styles, w_dim = config.n_styles, config.w_dim
        self.head_128 = PreviewHead(
            64, config.channels_64, config.width_64, 3, n_styles - config.first_fine_64, w_dim
        )
        self.head_256 = PreviewHead(
            128, config.channels_128, config.width_128, 2, n_styles - config.first_fine_128, w_dim
        )

    @classmethod
    def unpack(cls, network: Network) -> tuple[PreviewConfig, Mapping[str, Tensor]]:
        return stored_config(PreviewConfig, network), network.tensors

    def head(self, size: int) -> tuple[PreviewHead, int]:
        """The head for images of `size` px, and the first style that modulates it."""
        if size not in SIZES:
            raise BadValue(f"a preview has 128 or 256 px; got {size}")
        if size == 128:
            return self.head_128, self.config.first_fine_64
        return self.head_256, self.config.first_fine_128

    def forward(
        self, features: Features, w_plus: WPlus, size: int
    ) -> Float[Tensor, "batch 3 height_out width_out"]:
        """Args: `features` are those of half the resolution."""
        head, first_fine = self.head(size)
        return head(features, w_plus[:, first_fine:])


def train_preview(
    generator: Any, images: int = 1200, steps: int = 2600, batch: int = 16, seed: int = 0
) -> tuple[Preview, dict[str, float]]:
    """Train both heads to show what the generator renders, averaged down to their size.

    They start as the best linear maps and are then trained by Adam on patches.

    Args:
        generator: The loaded `WaveletGenerator`; stays as it is.

    Returns:
        The average of the last weights, and their PSNR in dB as by `measure_preview`.
    """
    rng = torch.Generator().manual_seed(seed)
    styles, patches = _collect(generator, images, rng)
    preview = Preview(PreviewConfig())
    for size in SIZES:
        _start_linear(preview.head(size)[0], *patches[size][:2])
    mean = torch.optim.swa_utils.AveragedModel(
        preview, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98)
    )
    adam = torch.optim.Adam(preview.parameters(), 2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in trange(steps, desc="preview"):
        index = torch.randint(PATCHES * images, (batch,), generator=rng)
        loss = torch.zeros(())
        for size, (features, wanted, weight) in patches.items():
            made = preview(features[index].float(), styles[index // PATCHES], size)
            error = (made - wanted[index].float()).square() * weight[index]
            loss = loss + error.sum() / weight[index].sum() / 3
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(preview.parameters(), 0.5)
        adam.step()
        schedule.step()
        mean.update_parameters(preview)
    return mean.module, measure_preview(mean.module, generator, 48)


@torch.no_grad()
def measure_preview(preview: Preview, generator: Any, n: int = 200) -> dict[str, float]:
    """PSNR in dB of both heads against the image averaged down, over `n` unseen w at psi 1."""
    render, rng = _renderer(generator), torch.Generator().manual_seed(12345)
    errors: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(n):
        w = generator.mapping(torch.randn(1, generator.z_dim, generator=rng))
        sample = render(generator.to_w_plus(w))
        for size in SIZES:
            made = preview(sample[size // 2].float(), sample["w_plus"], size).clamp(-1, 1)
            wanted = F.adaptive_avg_pool2d(sample["image"].float().clamp(-1, 1), size)
            errors[size].append((made - wanted).square().mean().item() / 4)
    return {f"psnr_{s}": -10 * sum(map(math.log10, e)) / n for s, e in errors.items()}


def _renderer(generator: Any) -> Callable[[Tensor], dict[Any, Tensor]]:
    """W+ to the image at 256 px and the features at 64 and 128 px, in half precision."""
    import openvino

    from xfer.stylegan2.wavelet_graph import wavelet_graph

    model = wavelet_graph(generator, "training", 256)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(model, "CPU", exact).create_infer_request()

    def render(w_plus: Tensor) -> dict[Any, Tensor]:
        found = request.infer({0: w_plus.numpy()})
        image, at_64, at_128 = (torch.from_numpy(found[i]).half() for i in range(3))
        return {"w_plus": w_plus, "image": image, 64: at_64, 128: at_128}

    return render


@torch.no_grad()
def _latent(generator: Any, rng: torch.Generator) -> WPlus:
    """One w for all styles, two mixed, or one with differences between styles; psi .5 to 1."""
    w = generator.mapping(torch.randn(2, generator.z_dim, generator=rng))
    first, second = generator.to_w_plus(generator.w_mean.lerp(w, _uniform(rng, 0.5, 1.2))).split(1)
    kind = _uniform(rng, 0.0, 1.0)
    if kind < 0.5:
        return first.contiguous()
    if kind < 0.75:
        return generator.mix(first, second, at=9)
    return first + (second - first) * torch.rand(1, len(first[0]), 1, generator=rng) * 0.4


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=rng).item()


Patches = tuple[Tensor, Tensor, Tensor]
"""Features, what the image is there, and which pixels no border of a patch can reach."""


def _collect(generator: Any, images: int, rng: torch.Generator) -> tuple[WPlus, dict[int, Patches]]:
    """W+ of random images, and for either size patches of each, 24 or 16 features wide."""
    render, latents = _renderer(generator), []
    found: dict[int, list[Patches]] = {size: [] for size in SIZES}
    important = _importance()
    for _ in trange(images, desc="images"):
        sample = render(_latent(generator, rng))
        latents.append(sample["w_plus"])
        for size in SIZES * PATCHES:
            edge, free = (24, 104) if size == 256 else (16, 48)
            place = free * (0.5 + 0.3 * torch.randn(2, generator=rng))
            y, x = place.round().int().clamp(0, free).tolist()
            image = F.adaptive_avg_pool2d(sample["image"].float(), size).half()
            weight = torch.zeros(1, 1, size, size)
            inner = [slice(2 * v + 6 * (v > 0), 2 * (v + edge) - 6 * (v < free)) for v in (y, x)]
            weight[:, :, inner[0], inner[1]] = 1
            weight *= F.adaptive_avg_pool2d(important, size)
            pixels = (slice(None), slice(None), slice(2 * y, 2 * (y + edge)),
                      slice(2 * x, 2 * (x + edge)))  # fmt: skip
            features = sample[size // 2][:, :, y : y + edge, x : x + edge].clone()
            found[size].append((features, image[pixels], weight[pixels]))
    patches = {s: tuple(map(torch.cat, zip(*found[s], strict=True))) for s in SIZES}
    return torch.cat(latents), patches


def _importance() -> Tensor:
    """Weights of an aligned face's pixels at 256 px: brows, eyes and mouth move most."""
    weight = torch.ones(1, 1, 256, 256)
    weight[:, :, 86:144, 64:192] = 4
    weight[:, :, 158:206, 88:168] = 4
    return weight


@torch.no_grad()
def _start_linear(head: PreviewHead, features: Tensor, wanted: Tensor) -> None:
    """Ridge regression from features to wavelets as the head's first twelve channels."""
    flat = lambda x: x.float().transpose(0, 1).flatten(1)[:, ::3]
    x, y = flat(features), flat(_haar(wanted.float()))
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1)
    x = x - x_mean
    covariance = x @ x.T
    ridge = 1e-4 * covariance.diagonal().mean() * torch.eye(len(x))
    weight = head.squeeze.weight[:, :, 0, 0]
    weight /= x.std(1).clamp(min=1e-3)
    weight[:12] = torch.linalg.solve(covariance + ridge, x @ (y - y_mean[:, None]).T).T
    head.squeeze.bias.copy_(-(weight @ x_mean)[:, 0])
    head.squeeze.bias[:12] += y_mean
    head.to_wavelets.weight.mul_(0.02)[:, :12] = 0
    head.to_wavelets.weight[range(12), range(12), 1, 1] = 1
    head.to_wavelets.bias.zero_()


def _haar(image: Tensor) -> Tensor:
    """The transform that `InverseHaar` undoes."""
    a, b, c, d = F.pixel_unshuffle(image, 2).unflatten(1, (-1, 4)).unbind(2)
    details = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 2).flatten(1, 2)
    return torch.cat([a + b + c + d, details], 1) / 2
