"""The generator of StyleGAN2, configuration F (skip connections to RGB).

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.errors import expect
from xfer.files import Network, Storable
from xfer.ops.upfirdn2d import setup_filter
from xfer.shapes import Image, W, WPlus, Z
from xfer.stylegan2.layers import BLUR, Linear, StyledLayer, ToRGB, pixel_norm, upsample_rgb
from xfer.stylegan2.layouts import generator_from
from xfer.stylegan2.widths import Widths, check_resolution

Noise = str | Sequence[Tensor]
"""Where noise comes from: "stored", "random", "none", or one tensor `samples 1 r r` per layer."""


@dataclass(frozen=True)
class GeneratorConfig(Widths):
    """Sizes of a generator. The defaults are the public FFHQ model's."""

    resolution: int = 1024
    """Edge of the picture in pixels: a power of two, 8 to 1024."""
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01

    def __post_init__(self):
        check_resolution(self.resolution, "generator")
        for name in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max"):
            expect(getattr(self, name) >= 1, f"{name} is at least 1; got {getattr(self, name)}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the picture's."""
        return tuple(2**i for i in range(2, self.resolution.bit_length()))

    @property
    def n_styles(self) -> int:
        """Number of rows of W+: two for every resolution, one shared at the top of each."""
        return 2 * len(self.resolutions)


class MappingNetwork(nn.Module):
    """Z to W: pixel norm, then fully connected layers with leaky ReLU."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.z_dim = config.z_dim
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.layers = nn.ModuleList(
            Linear(a, b, act="lrelu", lr_multiplier=config.mapping_lr_multiplier)
            for a, b in itertools.pairwise(widths)
        )

    def forward(self, z: Z) -> W:
        """Args: `z` is standard normal; its length does not matter."""
        expect(z.shape[1] == self.z_dim, f"z has {self.z_dim} numbers a sample; got {z.shape[1]}")
        x = pixel_norm(z)
        for layer in self.layers:
            x = layer(x)
        return x


class Generator(Storable, nn.Module):
    """z -> w -> W+ -> style space -> picture, with an entry at every step."""

    role, vetted = "generator", True

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
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
    def unpack(cls, network: Network) -> tuple[GeneratorConfig, dict[str, Tensor]]:
        arguments, state = generator_from(network)
        unknown_mean = {"w_mean": torch.full((arguments["w_dim"],), float("nan"))}
        return GeneratorConfig(**arguments), unknown_mean | dict(state)

    @classmethod
    def from_network(cls, network: Network) -> "Generator":
        """Build from tensors of any known layout; a missing mean of w is estimated."""
        generator = super().from_network(network)
        if generator.w_mean.isnan().any():
            generator.w_mean.copy_(generator.estimate_w_mean()[0])
        return generator

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        return self.config.w_dim

    @property
    def n_styles(self) -> int:
        return self.config.n_styles

    @property
    def resolution(self) -> int:
        return self.config.resolution

    def forward(
        self, z: Z, psi: float = 1.0, cutoff: int | None = None, noise: Noise = "stored"
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        """Random pictures: mapping, truncation, synthesis."""
        return self.synthesis(self.truncate(self.to_w_plus(self.mapping(z)), psi, cutoff), noise)

    def to_w_plus(self, w: W) -> WPlus:
        """The same style for every layer."""
        return w[:, None].expand(-1, self.n_styles, -1)

    def truncate(self, w_plus: WPlus, psi: float, cutoff: int | None = None) -> WPlus:
        """Move the first `cutoff` styles (default: all) towards the mean, keeping `psi` of the way.

        Source: StyleGAN (Karras et al., 2019), section B of the appendix.
        """
        expect(
            0.0 <= psi <= 1.0,
            f"psi is a fraction of the way from the mean to w, in [0, 1]; got {psi}",
        )
        cutoff = self.n_styles if cutoff is None else cutoff
        expect(
            0 <= cutoff <= self.n_styles,
            f"cutoff counts styles, 0 to {self.n_styles}; got {cutoff}",
        )
        if psi == 1.0:  # exact, also where w_mean is unknown
            return w_plus
        moved = self.w_mean.to(w_plus.dtype).lerp(w_plus[:, :cutoff], psi)
        return torch.cat([moved, w_plus[:, cutoff:]], dim=1)

    def mix(self, first: WPlus, second: WPlus, at: int) -> WPlus:
        """Style mixing: `first` for the styles below `at`, `second` from there on."""
        expect(0 <= at <= self.n_styles, f"at counts styles, 0 to {self.n_styles}; got {at}")
        return torch.cat([first[:, :at], second[:, at:]], dim=1)

    def styles(self, w_plus: WPlus) -> list[Float[Tensor, "batch _"]]:
        """W+ to style space S (Wu et al., "StyleSpace", 2021): one gain per input channel.

        In the order of drawing: for every resolution its convolutions, then its toRGB.
        """
        self._check(w_plus)
        rows = [(self.layers[0], 0), (self.to_rgb[0], 1)]
        for i in range(1, len(self.to_rgb)):
            pair = self.layers[2 * i - 1 : 2 * i + 1]
            rows += [(pair[0], 2 * i - 1), (pair[1], 2 * i), (self.to_rgb[i], 2 * i + 1)]
        return [layer.affine(w_plus[:, row]) for layer, row in rows]

    def synthesis(
        self,
        w_plus: WPlus | W,
        noise: Noise = "stored",
        half: torch.dtype | None = None,
        features: dict[str, Tensor] | None = None,
    ) -> Image:
        """Draw pictures from styles.

        Args:
            w_plus: One style per layer, or one for all.
            noise: "stored" (the file's fixed pictures), "random", "none", or one tensor
                `samples 1 r r` per layer.
            half: Data type of the highest resolutions, e.g. `torch.bfloat16`; None for float32.
            features: A dictionary to be filled with every layer's output, by name ("8_conv0").
        """
        if w_plus.ndim == 2:
            w_plus = self.to_w_plus(w_plus)
        return self.synthesis_from_styles(self.styles(w_plus), noise, half, features)

    def synthesis_from_styles(
        self,
        styles: Sequence[Tensor],
        noise: Noise = "stored",
        half: torch.dtype | None = None,
        features: dict[str, Tensor] | None = None,
    ) -> Image:
        """Draw pictures from style space (see `styles` for the order). Arguments as `synthesis`."""
        wanted = len(self.layers) + len(self.to_rgb)
        expect(len(styles) == wanted, f"style space has {wanted} vectors here; got {len(styles)}")
        batch, layer, rgb = styles[0].shape[0], 0, None
        noises = self.noise_pictures(noise, batch)
        queue = iter(styles)
        x = self.const.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for i, resolution in enumerate(self.config.resolutions):
            x = x.to(self._dtype(resolution, half))
            for k in range(1 if resolution == 4 else 2):
                x = self.layers[layer](x, next(queue), noises[layer], self.config.conv_clamp)
                layer += 1
                if features is not None:
                    features[f"{resolution}_conv{k}"] = x
            drawn = self.to_rgb[i](x, next(queue), self.config.conv_clamp)
            rgb = drawn if rgb is None else upsample_rgb(rgb, self.blur) + drawn
            if features is not None:
                features[f"{resolution}_rgb"] = rgb
        return rgb.contiguous()

    def prepare(self, dtype: torch.dtype = torch.float32, compile: bool = False) -> Any:
        """A `PreparedGenerator`: an inference copy with the same `synthesis`, several times faster.

        Args:
            dtype: float32, bfloat16 or float16 (where the processor has it).
            compile: Through torch.compile; pays where one batch size is drawn many times.
        """
        from xfer.stylegan2.prepared import PreparedGenerator

        return PreparedGenerator(self, dtype, compile)

    @torch.no_grad()
    def estimate_w_mean(self, samples: int = 10_000, seed: int = 0) -> W:
        """Mean of `samples` random w as `1 w_dim`, for files that carry none."""
        rng = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(self.w_mean)
        for start in range(0, samples, 1000):
            z = torch.randn(min(1000, samples - start), self.z_dim, generator=rng)
            total += self.mapping(z.to(self.w_mean)).sum(0)
        return (total / samples)[None]

    def _dtype(self, resolution: int, half: torch.dtype | None) -> torch.dtype:
        high = resolution > self.resolution >> self.config.half_resolutions
        return half if half is not None and high else self.const.dtype

    def _check(self, w_plus: Tensor) -> None:
        wanted = (self.n_styles, self.w_dim)
        expect(
            tuple(w_plus.shape[1:]) == wanted,
            f"this generator takes W+ of {wanted[0]} styles x {wanted[1]}; "
            f"got {' x '.join(map(str, w_plus.shape[1:]))}",
        )

    def noise_pictures(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """One picture of noise a layer, or None, for any of the choices of `synthesis`."""
        if not isinstance(noise, str):
            expect(
                len(noise) == len(self.layers),
                f"noise has one picture for each of {len(self.layers)} layers; got {len(noise)}",
            )
            return list(noise)
        choices = ("stored", "random", "none")
        expect(noise in choices, f"noise is one of {', '.join(choices)}; got {noise!r}")
        if noise == "none":
            return [None] * len(self.layers)
        if noise == "stored":
            return [layer.noise[None, None] for layer in self.layers]
        shapes = [(batch, 1, layer.resolution, layer.resolution) for layer in self.layers]
        return [torch.randn(shape, device=self.const.device) for shape in shapes]
