"""A critic that looks at pictures through frozen networks.

Source: Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021. Features of frozen networks
are mixed across channels and scales by random projections, and a small critic judges each scale.
Ours looks through the loss-side instruments, which have seen the pictures' world, instead of a
network trained on ImageNet.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from xfer.axes import Features, Image
from xfer.backbones import Backbone
from xfer.training.randomness import sample_rngs, uniform

EDGE = 4
"""Every critic halves its features down to this many pixels along an edge, one verdict each."""


Verdicts = Float[Tensor, "_ 1"]
"""Logits of all patches of all pictures."""


class Projection(nn.Module):
    """Features of all stages of a body, mixed at random: channels within, then scales downwards.

    Nothing here is trained. Random mixing keeps the critics from looking at few strong features
    only (the paper's section 3.2).
    """

    def __init__(self, body: Backbone, width: int):
        super().__init__()
        self.body = body
        channels = _stage_widths(body)
        self.across_channels = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.across_scales = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        for conv in (*self.across_channels, *self.across_scales):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            nn.init.zeros_(conv.bias)

    def forward(self, image: Image) -> list[Tensor]:
        """From the finest stage (half of the picture's edge) to the coarsest."""
        stages = self.body.stages(image)[1:]  # the first is little more than the picture
        mixed = [conv(x) for conv, x in zip(self.across_channels, stages, strict=True)]
        found, above = [], None
        for conv, x in zip(reversed(self.across_scales), reversed(mixed), strict=True):
            if above is not None:
                up = F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
                x = (x + up) * 0.5**0.5
            above = conv(x)
            found.append(above)
        return found[::-1]


def _stage_widths(body: Backbone) -> list[int]:
    widths = [unit.residual[3].out_channels for unit in body.blocks]
    starts = [i for i, unit in enumerate(body.blocks) if unit.stride == 2][1:]
    return [widths[i - 1] for i in starts] + [widths[-1]]


class PatchCritic(nn.Module):
    """Features of one scale to `EDGE` x `EDGE` verdicts.

    Spectral norms keep it smooth, batch norms keep its verdicts from fading with depth. The latter
    know nothing but the batch at hand.
    """

    def __init__(self, edge: int, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        while edge > EDGE:
            layers += _layer(nn.Conv2d(width, width, 4, 2, 1, bias=False))
            edge //= 2
        layers += _layer(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 1)))

    def forward(self, x: Features) -> Float[Tensor, "batch 1 _ _"]:
        return self.layers(x)


def _layer(conv: nn.Conv2d) -> list[nn.Module]:
    norm = nn.BatchNorm2d(conv.out_channels, track_running_stats=False)
    return [spectral_norm(conv), norm, nn.LeakyReLU(0.2)]


class ProjectedDiscriminator(nn.Module):
    """Pictures to logits, one for each patch of each scale of each body: positive means real.

    Args:
        bodies: Frozen networks of the loss side; judges must not be shown here.
        resolution: Edge of the pictures in pixels; a power of two.
        width: Channels of the projections and critics.
    """

    def __init__(self, bodies: Sequence[Backbone], resolution: int, width: int = 64):
        super().__init__()
        self.projections = nn.ModuleList(Projection(body, width) for body in bodies)
        self.projections.requires_grad_(False).eval()
        edges = [
            [resolution >> (i + 1) for i in range(len(projection.across_channels))]
            for projection in self.projections
        ]
        self.critics = nn.ModuleList(
            nn.ModuleList(PatchCritic(edge, width) for edge in of_body) for of_body in edges
        )

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """The bodies stay in eval mode, whose norms use what they have learned."""
        super().train(mode)
        self.projections.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> "ProjectedDiscriminator":
        """Only the critics are ever trained."""
        self.critics.requires_grad_(requires_grad)
        return self

    def forward(self, image: Image, half: torch.dtype | None = None) -> Verdicts:
        """Args: `half` is accepted for the plain discriminator's sake; everything is float32."""
        verdicts = [
            critic(features).flatten()
            for projection, critics in zip(self.projections, self.critics, strict=True)
            for critic, features in zip(critics, projection(image), strict=True)
        ]
        return torch.cat(verdicts)[:, None]


def augmented(
    image: Image, seed: int, stream: str, step: int, samples: Sequence[int], most: float = 0.125
) -> Image:
    """Pictures moved and tinted a little at random, so that a critic cannot learn them by heart.

    Differentiable (Zhao et al., "Differentiable Augmentation", NeurIPS 2020); each sample by its
    own numbers.

    Args:
        most: Largest shift as a part of the edge; what comes in is black.
    """
    rngs = sample_rngs(seed, stream, step, samples)
    edge = image.shape[3]
    right, down, bright, vivid = (uniform(rngs) * 2 - 1 for _ in range(4))
    reach = int(edge * most)
    x, y = ((by * reach).round().long().tolist() for by in (right, down))
    padded = F.pad(image, [reach] * 4)
    moved = torch.stack(
        [
            sample[:, reach + j : reach + j + edge, reach + i : reach + i + edge]
            for sample, i, j in zip(padded, x, y, strict=True)
        ]
    )
    bright, vivid = (v.to(image)[:, None, None, None] for v in (bright, vivid))
    grey = moved.mean(1, keepdim=True)
    return grey + (moved - grey) * (1 + 0.5 * vivid) + 0.25 * bright
