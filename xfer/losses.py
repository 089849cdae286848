"""Loss terms: tensors in, one number out. Their weights belong to the training presets."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xfer.devices import full
from xfer.shapes import Image, Logits, WPlus

Scalar = Float[Tensor, ""]
Codes = Float[Tensor, "batch rows width"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network that describes images stage by stage, such as `PerceptualFeatures`."""

    def stages(self, image: Image) -> list[Tensor]: ...


def generator_loss(fake: Logits) -> Scalar:
    """Non-saturating logistic loss (Goodfellow et al., 2014): mean of -log sigmoid(D(G(z)))."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Logits, fake: Logits) -> Scalar:
    """Logistic loss of the discriminator: real logits up, fake logits down."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1_penalty(logits: Logits, image: Image) -> Scalar:
    """Squared gradient of the discriminator at real images (Mescheder et al., 2018), batch mean.

    The weight gamma / 2 is the caller's. `image` must require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(image: Image, w_plus: WPlus, noise: Image) -> Float[Tensor, " batch"]:
    """Length of J^T y per sample, root mean square over styles (StyleGAN2, Eq. 4).

    Args:
        noise: Standard normal images y; scaled here by 1/sqrt(pixels).
    """
    y = noise / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image * y).sum(), w_plus, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Float[Tensor, " batch"], mean: Scalar) -> Scalar:
    """Squared distance of path lengths from their running mean (StyleGAN2, Eq. 4)."""
    return (lengths - mean).square().mean()


def perceptual(network: FeatureNetwork, first: Image, second: Image) -> Scalar:
    """How different two images look to a network; gradients reach `first` alone."""
    with torch.no_grad():
        wanted = network.stages(second)
    return feature_distance(network.stages(first), wanted)


def feature_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Scalar:
    """Distance of two images' features, stage by stage.

    Features are scaled to unit length per position; squared differences are summed over channels
    and averaged over positions, samples and stages (Zhang et al., "LPIPS", 2018, without learned
    weights).
    """
    distances = []
    for a, b in zip(first, second, strict=True):
        a, b = (F.normalize(full(x), dim=1, eps=1e-8) for x in (a, b))
        distances.append((a - b).square().sum(1).mean())
    return torch.stack(distances).mean()


def identity_distance(
    recogniser: Callable[[Image], Float[Tensor, "batch embedding"]], first: Image, second: Image
) -> Scalar:
    """One minus the cosine of unit embeddings, batch mean; gradients reach `first` alone."""
    with torch.no_grad():
        wanted = full(recogniser(second))
    return 1 - (full(recogniser(first)) * wanted).sum(1).mean()


def contrastive(
    same: Codes, cross: Codes, driver: Codes, other: Codes, scale: float = 5.0, margin: float = 0.0
) -> Scalar:
    """Motion codes of both outputs lie near the driver's and far from the other image's.

    CosFace (Wang et al., 2018) over cosines of flattened codes: each output's positive is the
    driver; the negatives of both are the two outputs' cosines with the other image. The margin is
    subtracted from the positive alone; elsewhere it would cancel.

    Args:
        same: Codes of the outputs whose identity is the driver's own.
        cross: Codes of the outputs of another identity.
        other: Codes of images whose motion is not the driver's.
        scale: Inverse temperature of the softmax.
        margin: Cosine by which the positive must win.
    """
    same, cross, driver, other = (code.flatten(1) for code in (same, cross, driver, other))
    cosine = lambda a, b: F.cosine_similarity(a, b, dim=1)
    negatives = [cosine(same, other), cosine(cross, other)]
    logits = lambda output: torch.stack([cosine(output, driver) - margin, *negatives], dim=1)
    loss = lambda output: -F.log_softmax(scale * logits(output), dim=1)[:, 0].mean()
    return loss(same) + loss(cross)
