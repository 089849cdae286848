"""Images to codes: motion (pose and expression) and identity (a person's latent in W+).

Sources: Jahoda and Cech, CVWW 2024 (motion encoder); Richardson et al., "Encoding in Style",
CVPR 2021 (a head for every style); Alaluf et al., "ReStyle", ICCV 2021 (refinement in rounds);
Tov et al., "Designing an Encoder for StyleGAN", 2021 (one w and small offsets).
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from xfer.backbones import Backbone, BackboneConfig, fit, sizes, translate
from xfer.checkpoints import Network, Storable, stored_config
from xfer.errors import BadFile, BadValue
from xfer.perceptual import FaceFeatures
from xfer.shapes import Features, Image, W, WPlus
from xfer.stylegan2.layers import Linear

Bottleneck = Float[Tensor, "batch bottleneck"]


def pooled(channels: int, edge: int, out: int) -> nn.Sequential:
    """Features to one vector, by way of `edge` x `edge` pixels."""
    pool, linear = nn.AdaptiveAvgPool2d(edge), nn.Linear(channels * edge**2, out)
    return nn.Sequential(nn.BatchNorm2d(channels), pool, nn.Flatten(), linear)


@dataclass(frozen=True)
class MotionEncoderConfig(BackboneConfig):
    """Sizes of a motion encoder. The defaults are the paper's."""

    n_styles: int = 18
    w_dim: int = 512
    bottleneck: int = 512
    """Length of h, the rank of all motion."""
    pool: int = 7
    """Edge in pixels of the feature map that is read into h."""


MOTION_NAMES = {r"^output_layer_2\.": "head.", r"^linear\.": "to_code."}
"""Tensor names of the paper's file, beside those of the backbone, and ours."""


class MotionEncoder(Storable, nn.Module):
    """Image -> h -> motion code; the second step is linear."""

    role = "motion_encoder"

    def __init__(self, config: MotionEncoderConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = pooled(config.channels[-1], config.pool, config.bottleneck)
        self.to_code = Linear(config.bottleneck, config.n_styles * config.w_dim)

    @classmethod
    def unpack(cls, network: Network) -> tuple[MotionEncoderConfig, Mapping[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(MotionEncoderConfig, network), network.tensors
        state = translate(network.tensors, MOTION_NAMES)
        known = sizes(state)
        numbers, bottleneck = state["to_code.weight"].shape
        pool = math.isqrt(state["head.3.weight"].shape[1] // known["channels"][-1])
        # The paper's h is as wide as a style, which tells codes of n styles apart.
        known |= {"n_styles": numbers // bottleneck, "w_dim": bottleneck}
        return MotionEncoderConfig(**known, bottleneck=bottleneck, pool=pool), state

    def forward(self, image: Image) -> WPlus:
        """Motion codes of aligned images of any size."""
        return self.code(self.bottleneck(image))

    def bottleneck(self, image: Image) -> Bottleneck:
        """h: all that is known of the driver's motion."""
        return self.head(self.backbone(fit(image, self.config.resolution)))

    def code(self, h: Bottleneck) -> WPlus:
        return self.to_code(h).unflatten(1, (self.config.n_styles, self.config.w_dim))

    def linear(self) -> tuple[Float[Tensor, "size bottleneck"], Float[Tensor, " size"]]:
        """A and b with flattened code = A h + b."""
        return self.to_code.weight / math.sqrt(self.config.bottleneck), self.to_code.bias


@runtime_checkable
class Synthesis(Protocol):
    """What an inversion needs of a generator."""

    w_mean: Tensor

    def synthesis(self, w_plus: WPlus) -> Image: ...


@dataclass(frozen=True)
class IdentityEncoderConfig(BackboneConfig):
    """Sizes of an identity encoder. The defaults are those of the public ReStyle-pSp file."""

    in_channels: int = 6
    """The image and the current reconstruction."""
    n_styles: int = 18
    w_dim: int = 512
    rounds: int = 5
    own_mean: bool = False
    """Start from a mean latent of the file's own instead of the generator's mean of w."""
    head: Literal["styles", "summed", "features"] = "styles"
    """styles: a head of strided convolutions for every style (pSp); summed: the same, the first
    one writes w and the others offsets that are added to it (e4e); features: linear in
    `perceptual.FaceFeatures` of the photo, which take the backbone's place (ours)."""
    bottleneck: int = 160
    """Rank of the linear map."""

    def __post_init__(self):
        super().__post_init__()
        if self.head not in ("styles", "summed", "features"):
            raise BadValue(f"head is styles, summed or features; got {self.head!r}")
        if self.features & (self.features - 1):
            raise BadValue(f"style heads take features of 2^n pixels; got {self.features}")


class StyleHead(nn.Module):
    """Features to the offset of one style: strided convolutions down to one pixel, then linear."""

    def __init__(self, channels: int, w_dim: int, halvings: int):
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(halvings):
            layers += [nn.Conv2d(channels if i == 0 else w_dim, w_dim, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = Linear(w_dim if halvings else channels, w_dim)

    def forward(self, x: Features) -> W:
        return self.linear(self.convs(x).flatten(1))


ENCODER_TYPES = {
    None: "styles",
    "BackboneEncoder": "styles",
    "ProgressiveBackboneEncoder": "summed",
}
"""ReStyle's own name of an encoder's kind, and our head."""


class IdentityEncoder(Storable, nn.Module):
    """An image's latent in W+, found in rounds: each adds an offset to the one before.

    It starts from `latent_mean` where `config.own_mean` says so, else from the generator's mean.
    """

    role = "identity_encoder"

    def __init__(self, config: IdentityEncoderConfig):
        super().__init__()
        self.config = config
        if config.head == "features":
            self.register_buffer("feature_mean", torch.zeros(FaceFeatures.size))
            self.read = nn.Linear(FaceFeatures.size, config.bottleneck, bias=False)
            self.write = nn.Linear(config.bottleneck, config.n_styles * config.w_dim, bias=False)
        else:
            self.backbone = Backbone(config)
            shape = (config.channels[-1], config.w_dim, config.features.bit_length() - 1)
            self.styles = nn.ModuleList(StyleHead(*shape) for _ in range(config.n_styles))
        self.register_buffer("latent_mean", torch.zeros(config.n_styles, config.w_dim))

    @classmethod
    def unpack(cls, network: Network) -> tuple[IdentityEncoderConfig, Mapping[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(IdentityEncoderConfig, network), network.tensors
        kind = network.config.get("opts", {}).get("encoder_type")
        if kind not in ENCODER_TYPES or any("latlayer" in name for name in network.tensors):
            kind = kind or "GradualStyleEncoder"
            reads = "BackboneEncoder (ReStyle-pSp) and ProgressiveBackboneEncoder (ReStyle-e4e)"
            raise BadFile(f"an encoder of the kind {kind}; xfer reads {reads}")
        state = translate(network.tensors, {})
        known = sizes(state)
        halvings = sum(bool(re.match(r"styles\.0\.convs\.\d+\.weight", name)) for name in state)
        mean = network.config.get("latent_avg")
        config = IdentityEncoderConfig(
            **known,
            resolution=2 ** (halvings + len(known["channels"])),
            n_styles=len({name.split(".")[1] for name in state if name.startswith("styles.")}),
            w_dim=state["styles.0.linear.weight"].shape[0],
            own_mean=mean is not None,
            head=ENCODER_TYPES[kind],
        )
        start = torch.zeros(config.n_styles, config.w_dim)
        if mean is not None:  # one style for all layers, or one each
            start = mean.reshape(-1, config.w_dim).expand_as(start)
        return config, state | {"latent_mean": start}

    def forward(self, image: Image, current: Float[Tensor, "batch 3 _ _"]) -> WPlus:
        """Offset of the latent, from the image and the image of the current latent.

        The latter is pooled as in the public code, which repeats the pixels of small generators.
        """
        edge = self.config.resolution
        if self.config.head == "features":
            seen = _face_features().to(image.device)(fit(image, 256)) - self.feature_mean
            return self.write(self.read(seen)).unflatten(1, (-1, self.config.w_dim))
        x = self.backbone(torch.cat([fit(image, edge), adaptive_avg_pool2d(current, edge)], dim=1))
        offsets = torch.stack([head(x) for head in self.styles], dim=1)
        if self.config.head == "styles":
            return offsets
        return torch.cat([offsets[:, :1], offsets[:, :1] + offsets[:, 1:]], dim=1)

    def invert(self, image: Image, generator: Synthesis, rounds: int | None = None) -> WPlus:
        """The latents after the last round; by default of as many as the configuration says."""
        rounds = self.config.rounds if rounds is None else rounds
        if rounds < 1:
            raise BadValue(f"an inversion takes at least one round; got {rounds}")
        mean = self.latent_mean if self.config.own_mean else generator.w_mean
        latent = mean.expand(1, self.config.n_styles, self.config.w_dim)
        if self.config.head == "features":  # which never look at a reconstruction
            return latent + self(image, image)
        current = generator.synthesis(latent)
        latent, current = (x.expand(len(image), *x.shape[1:]) for x in (latent, current))
        for left in range(rounds - 1, -1, -1):
            latent = latent + self(image, current)
            if left:  # the image of the last round is not needed
                current = generator.synthesis(latent)
        return latent


_face_features = functools.cache(FaceFeatures)
