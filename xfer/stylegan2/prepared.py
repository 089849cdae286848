"""StyleGAN2's synthesis for inference: the generator's numbers, arranged for speed in PyTorch.

What is gained, and where:

- the squared sums that demodulation needs are computed once, not for every image;
- the gain of the leaky ReLU is moved into weights, bias and noise (it is positively homogeneous);
- above `BATCHED_UP_TO` pixels on a CPU, activations are much larger than weights: there each
  sample gets its own modulated weights, the bias rides in the convolution, and the rest happens in
  place; sample by sample, which also keeps memory at that of one image;
- below, and on a GPU, all samples share one convolution and the styles scale activations;
- everything is channels-last.
"""

import math
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.devices import has_fast_bfloat16
from xfer.errors import BadValue
from xfer.ops.upfirdn2d import upfirdn2d
from xfer.shapes import Features, Image, W, WPlus
from xfer.stylegan2.inference import Prepared
from xfer.stylegan2.layers import (
    DEMODULATION_EPSILON,
    Noise,
    StyledLayer,
    ToRGB,
    upsample_rgb,
)

BATCHED_UP_TO = 32
"""Edge in pixels up to which samples share a convolution on a CPU (measured)."""

GAIN = math.sqrt(2)
"""Of the leaky ReLU."""

Styles = Float[Tensor, "batch channels"]


@dataclass
class _Convolution:
    """A styled layer's constants."""

    weight: Float[Tensor, "first second 3 3"]
    """Scaled; (out, in) where it convolves, (in, out) where it upsamples by transposition."""
    energy: Float[Tensor, "channels out_channels"]
    """Squared weights summed over the kernel: styles^2 @ energy is what demodulation undoes."""
    bias: Float[Tensor, " out_channels"]
    noise: Float[Tensor, "1 1 resolution resolution"] | None
    """The stored noise with its strength; None where the strength is zero."""
    strength: float
    up: bool

    @classmethod
    def of(cls, layer: StyledLayer, dtype: torch.dtype) -> "_Convolution":
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        strength = layer.noise_strength.item() * GAIN
        energy = weight.square().sum((2, 3)).T.contiguous()
        weight = weight.transpose(0, 1) if layer.up else weight
        noise = (layer.noise * strength)[None, None].to(dtype) if strength else None
        weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        return cls(weight, energy, (layer.bias * GAIN).to(dtype), noise, strength, layer.up)

    def gains(self, styles: Styles) -> tuple[Styles, Float[Tensor, "batch out_channels"]]:
        """Styles scaled to at most one (demodulation undoes it), and what follows from them."""
        styles = styles / styles.abs().amax(1, keepdim=True).clamp(min=1e-12)
        return styles, GAIN * torch.rsqrt(styles.square() @ self.energy + DEMODULATION_EPSILON)


class PreparedGenerator(Prepared):
    """An inference copy of a StyleGAN2 generator.

    Args:
        generator: In float32; stays untouched.
        size: As `prepare`'s.
        dtype: float32, bfloat16 or float16; float32 replaces what a processor only emulates.
        compile: Through torch.compile (with CUDA graphs on a GPU): pays where the same batch size
            is rendered many times.
    """

    def __init__(
        self,
        generator: nn.Module,
        size: int | None = None,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
    ):
        super().__init__(generator, size)
        device = generator.const.device
        self.dtype, self.config = usable_dtype(dtype, device), generator.config
        with torch.no_grad():
            self._const = generator.const.detach()[None].to(self.dtype).clone()
            self._layers = [_Convolution.of(layer, self.dtype) for layer in generator.layers]
            self._rgb = [_rgb_constants(layer) for layer in generator.to_rgb]
            self._blur = generator.blur.clone()
        self._batched_up_to = BATCHED_UP_TO if device.type == "cpu" else generator.resolution
        self._render = self._from_styles
        if compile:
            mode = "reduce-overhead" if device.type == "cuda" else "default"
            self._render = torch.compile(self._from_styles, mode=mode)

    @torch.no_grad()
    def synthesis(self, w_plus: WPlus | W, noise: Noise = "stored") -> Image:
        w_plus = self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus
        return self.resize(self._render(self.styles(w_plus), self._noises(noise, len(w_plus))))

    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return F.adaptive_avg_pool2d(self.synthesis(w_plus), size)

    def _from_styles(self, styles: list[Tensor], noises: list[Tensor | None]) -> Image:
        low = max(1, sum(r <= self._batched_up_to for r in self.config.resolutions))
        x = self._const.expand(len(styles[0]), -1, -1, -1)
        x, rgb = x.contiguous(memory_format=torch.channels_last), None
        x, rgb = self._blocks(range(low), x, rgb, styles, noises, _shared)
        if low == len(self.config.resolutions):
            return rgb.contiguous()
        high, images = range(low, len(self.config.resolutions)), []
        for i in range(len(x)):
            row = slice(i, i + 1)
            own = [s[row] for s in styles]
            made = [n if n is None or len(n) == 1 else n[row] for n in noises]
            images.append(self._blocks(high, x[row], rgb[row], own, made, _own_weights)[1])
        return torch.cat(images).contiguous()

    def _blocks(self, blocks: range, x: Features, rgb, styles, noises, convolve):
        """Run some resolutions, from features and image before to those after."""
        for i in blocks:
            for layer in (0,) if i == 0 else (2 * i - 1, 2 * i):
                # Style space runs conv, rgb, then conv, conv, rgb for every resolution.
                style = styles[layer + (layer + 1) // 2]
                x = convolve(self._layers[layer], x, style, self._blur)
                x = self._finish(x, noises[layer])
            made = _to_rgb(x, self._rgb[i], styles[3 * i + 1], self.config.conv_clamp)
            rgb = made if rgb is None else upsample_rgb(rgb, self._blur).add_(made)
        return x, rgb

    def _finish(self, x: Features, noise: Tensor | None) -> Features:
        """Noise, leaky ReLU and clamp, in place."""
        x = x if noise is None else x.add_(noise)
        x = F.leaky_relu_(x, 0.2)
        clamp = self.config.conv_clamp
        return x if clamp is None else x.clamp_(-clamp, clamp)

    def _noises(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """Every layer's noise times its strength."""
        if isinstance(noise, str) and noise == "stored":
            return [layer.noise for layer in self._layers]
        given = self.generator.noise_images(noise, batch)
        return [
            None if n is None or not layer.strength else (n * layer.strength).to(self.dtype)
            for n, layer in zip(given, self._layers, strict=True)
        ]


def usable_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """`dtype`, or float32 (with a warning) where a CPU would only emulate it."""
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise BadValue(f"dtype is float32, bfloat16 or float16; got {dtype}")
    slow = device.type == "cpu" and (
        dtype == torch.float16 or (dtype == torch.bfloat16 and not has_fast_bfloat16(device))
    )
    if slow:
        warnings.warn(f"{dtype} is only emulated on this processor; using float32", stacklevel=3)
    return torch.float32 if slow else dtype


def _shared(layer: _Convolution, x: Features, styles: Styles, blur: Tensor) -> Tensor:
    """All samples through one convolution: its input and output are scaled, not its weights."""
    styles, demodulation = layer.gains(styles)
    x = x * styles.to(x.dtype)[:, :, None, None]
    if layer.up:
        x = F.conv_transpose2d(x, layer.weight, stride=2)
        x = upfirdn2d(x, blur, padding=1, gain=4.0)
    else:
        x = F.conv2d(x, layer.weight, padding=1)
    x = x * demodulation.to(x.dtype)[:, :, None, None]
    return x.add_(layer.bias[:, None, None])


def _own_weights(layer: _Convolution, x: Features, styles: Styles, blur: Tensor) -> Tensor:
    """One sample: the weights are small beside the activations, so they are what is scaled."""
    styles, demodulation = layer.gains(styles)
    styles, demodulation = styles[0].to(x.dtype), demodulation[0].to(x.dtype)
    if not layer.up:
        own = layer.weight * demodulation[:, None, None, None] * styles[:, None, None]
        return F.conv2d(x, own, layer.bias, padding=1)
    own = layer.weight * styles[:, None, None, None] * demodulation[:, None, None]
    x = upfirdn2d(F.conv_transpose2d(x, own, stride=2), blur, padding=1, gain=4.0)
    return x.add_(layer.bias[:, None, None])


def _rgb_constants(layer: ToRGB) -> tuple[Tensor, Tensor]:
    """Scaled weight as (channels, 3), and bias."""
    weight = layer.weight[:, :, 0, 0].T / math.sqrt(layer.weight.shape[1])
    return weight.detach().clone(), layer.bias.detach().clone()


def _to_rgb(
    x: Features, constants: tuple[Tensor, Tensor], styles: Styles, clamp: float | None
) -> Image:
    """Every sample's own three columns, as one batched matrix product over pixels."""
    weight, bias = constants
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
    own = (weight * styles[:, :, None]).to(x.dtype)
    made = torch.bmm(pixels, own).float() + bias
    made = made if clamp is None else made.clamp_(-clamp, clamp)
    return made.transpose(1, 2).unflatten(2, x.shape[2:])
