"""The generator of StyleGAN2, configuration F (skip connections to RGB).

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Checkpoint, Network, Storable, stored_config
from xfer.ops.upfirdn2d import setup_filter
from xfer.shapes import Image, WPlus, Z
from xfer.stylegan2 import inference
from xfer.stylegan2.layers import (
    BLUR,
    LatentSpace,
    MappingNetwork,
    Noise,
    Sizes,
    StyledLayer,
    ToRGB,
    upsample_rgb,
)
from xfer.stylegan2.layouts import generator_from
from xfer.stylegan2.wavelet import WaveletGenerator


@dataclass(frozen=True)
class GeneratorConfig(Sizes):
    """Sizes of a generator. The defaults are the public FFHQ model's."""

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the image's."""
        return tuple(2**i for i in range(2, self.resolution.bit_length()))

    @property
    def n_styles(self) -> int:
        """Number of rows of W+: two for every resolution, one shared at the top of each."""
        return 2 * len(self.resolutions)


class Generator(Storable, LatentSpace, nn.Module):
    """z -> w -> W+ -> style space -> image, with an entry at every step."""

    role = "generator"
    prepare = inference.prepare

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.z_dim, self.w_dim, self.n_styles = config.z_dim, config.w_dim, config.n_styles
        self.mapping = MappingNetwork(
            config.z_dim, config.w_dim, config.mapping_layers, config.mapping_lr_multiplier
        )
        width = config.channels(4)
        self.const = nn.Parameter(torch.randn(width, 4, 4))
        layers, to_rgb = [], []
        for resolution in config.resolutions:
            out = config.channels(resolution)
            if resolution > 4:
                layers.append(StyledLayer(width, out, config.w_dim, resolution, up=True))
            layers.append(StyledLayer(out, out, config.w_dim, resolution, up=False))
            to_rgb.append(ToRGB(out, config.w_dim))
            width = out
        self.layers, self.to_rgb = nn.ModuleList(layers), nn.ModuleList(to_rgb)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        self.register_buffer("blur", setup_filter(BLUR), persistent=False)

    @classmethod
    def load(cls, source: str | Path | Checkpoint, role: str | None = None) -> Any:
        """Open a generator in eval mode on the CPU.

        Args:
            source: "ffhq" for the fetched `WaveletGenerator`; a StyleGAN2 file of any known layout;
                or the name of a fetched public one ("stylegan2-ffhq-1024").
        """
        if source == "ffhq":
            return WaveletGenerator.load()
        return super().load(source, role)

    @classmethod
    def unpack(cls, network: Network) -> tuple[GeneratorConfig, dict[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(GeneratorConfig, network), network.tensors
        arguments, state = generator_from(network)
        unknown_mean = {"w_mean": torch.full((arguments["w_dim"],), float("nan"))}
        return GeneratorConfig(**arguments), unknown_mean | state

    @classmethod
    def from_network(cls, network: Network) -> "Generator":
        """Build from tensors of any known layout; a missing mean of w is estimated."""
        generator = super().from_network(network)
        if generator.w_mean.isnan().any():
            generator.w_mean.copy_(generator.estimate_w_mean()[0])
        return generator

    @property
    def noise_layers(self) -> nn.ModuleList:
        """The layers with noise, in the order of use."""
        return self.layers

    def styles(self, w_plus: WPlus) -> list[Float[Tensor, "batch _"]]:
        """W+ to style space S (Wu et al., "StyleSpace", 2021): one gain per input channel.

        In the order of use: for every resolution its convolutions, then its toRGB.
        """
        self.check(w_plus)
        rows = [(self.layers[0], 0), (self.to_rgb[0], 1)]
        for i in range(1, len(self.to_rgb)):
            pair = self.layers[2 * i - 1 : 2 * i + 1]
            rows += [(pair[0], 2 * i - 1), (pair[1], 2 * i), (self.to_rgb[i], 2 * i + 1)]
        return [layer.affine(w_plus[:, row]) for layer, row in rows]

    def synthesis_from_styles(
        self,
        styles: Sequence[Tensor],
        noise: Noise = "stored",
        half: torch.dtype | None = None,
    ) -> Image:
        """Render images from style space (see `styles` for the order).

        Args:
            noise: "stored" (the file's fixed images), "random", "none", or one tensor
                `samples 1 r r` per layer.
            half: Data type of the highest resolutions, e.g. `torch.bfloat16`; None for float32.
        """
        batch, layer, rgb = styles[0].shape[0], 0, None
        noises = self.noise_images(noise, batch)
        queue = iter(styles)
        x = self.const.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for i, resolution in enumerate(self.config.resolutions):
            x = x.to(self._dtype(resolution, half))
            for _ in range(1 if resolution == 4 else 2):
                x = self.layers[layer](x, next(queue), noises[layer], self.config.conv_clamp)
                layer += 1
            colours = self.to_rgb[i](x, next(queue), self.config.conv_clamp)
            rgb = colours if rgb is None else upsample_rgb(rgb, self.blur) + colours
        return rgb.contiguous()

    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        """A small image; this generator has no cheaper way than the whole one brought down."""
        return F.adaptive_avg_pool2d(self.synthesis(w_plus), size)

    def _dtype(self, resolution: int, half: torch.dtype | None) -> torch.dtype:
        high = resolution > self.resolution >> self.config.half_resolutions
        return half if half is not None and high else self.const.dtype


def z_from_seeds(seeds: Sequence[int], z_dim: int) -> Z:
    """One standard normal row per seed, sampled on the CPU and so equal on every machine."""
    rows = [torch.randn(z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
