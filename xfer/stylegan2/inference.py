"""Prepared generators: copies for inference with the same `synthesis`, several times faster."""

import copy
import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from xfer.errors import BadValue
from xfer.media.images import to_array
from xfer.ops.upfirdn2d import upfirdn2d
from xfer.shapes import Features, Image, W, WPlus
from xfer.stylegan2.layers import DEMODULATION_EPSILON, Noise, StyledLayer, upsample_rgb
from xfer.stylegan2.wavelet_graph import wavelet_graph

GAIN = math.sqrt(2)
"""Of the leaky ReLU."""

SAME_AS_GENERATOR = ("z_dim", "w_dim", "n_styles", "mapping", "w_mean", "truncate", "to_w_plus",
                     "mix", "styles")  # fmt: skip

Frame = UInt8[np.ndarray, "height width 3"]


class Prepared:
    """What every prepared generator offers beside `synthesis`; takes no gradients.

    Prepare anew after the weights of the generator have changed.
    """

    def __init__(self, generator: Any, size: int | None = None):
        self.generator, self.resolution = generator, size or generator.resolution
        if self.resolution not in (generator.resolution >> k for k in range(3)):
            sizes = ", ".join(str(generator.resolution >> k) for k in range(3))
            raise BadValue(f"this generator's images have {sizes} px; got {self.resolution}")

    def __getattr__(self, name: str) -> Any:
        """Sizes, mapping, truncation: as the generator has them."""
        if name in SAME_AS_GENERATOR:
            return getattr(self.generator, name)
        raise AttributeError(name)

    @torch.no_grad()
    def synthesis(
        self, w_plus: WPlus | W, noise: Noise = "stored"
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        """Images of styles; arguments as `Generator.synthesis`."""
        image = self.render(self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus, noise)
        whole = image.shape[2] == self.resolution
        return image if whole else F.adaptive_avg_pool2d(image, self.resolution)

    def render(self, w_plus: WPlus, noise: Noise) -> Image:
        return self.generator.synthesis(w_plus, noise)

    @torch.no_grad()
    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return self.generator.preview(w_plus, size)

    def frames(self, w_plus: WPlus) -> UInt8[np.ndarray, "batch height width 3"]:
        """Images as bytes, channels last."""
        images = self.synthesis(w_plus).clamp(-1, 1).mul(127.5).add(128).clamp(max=255)
        return images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def stream(self, w_pluses: Iterable[WPlus], preview: bool = False) -> Iterator[Frame]:
        """One frame for each `1 n_styles w_dim`, in order; the next ones are under way already.

        Args:
            preview: Frames are previews of 256 px.
        """
        for w_plus in w_pluses:
            yield to_array(self.preview(w_plus))[0] if preview else self.frames(w_plus)[0]


class PreparedWavelet(Prepared):
    """The wavelet generator on a CPU, compiled by OpenVINO on first use.

    Bytes and previews are computed in bfloat16 where the processor has instructions for it, which
    takes 0.6 of the time and is 41 dB or more from float32; `synthesis` is float32 everywhere.

    Args:
        exact: Float32 for bytes and previews too.
    """

    def __init__(self, generator: Any, size: int | None = None, exact: bool = False):
        super().__init__(generator, size)
        self.exact = exact
        self._models: dict[tuple[str, str], Any] = {}
        self._requests: dict[str, Any] = {}

    def render(self, w_plus: WPlus, noise: Noise) -> Image:
        """Noise other than the stored one is left to PyTorch."""
        if noise != "stored":
            return super().render(w_plus, noise)
        return torch.from_numpy(self._run("image", w_plus))

    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return torch.from_numpy(self._run(f"preview_{size}", w_plus))

    def frames(self, w_plus: WPlus) -> UInt8[np.ndarray, "batch height width 3"]:
        return self._run("frames", w_plus)

    def stream(self, w_pluses: Iterable[WPlus], preview: bool = False) -> Iterator[Frame]:
        compiled = self._compiled("small_frames" if preview else "frames", "THROUGHPUT")
        n = max(2, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        idle, busy = [compiled.create_infer_request() for _ in range(n)], []
        try:
            for w_plus in w_pluses:
                if not idle:
                    yield _result(busy[0])
                    idle.append(busy.pop(0))
                busy.append(idle.pop())
                busy[-1].start_async({0: _array(w_plus)}, share_inputs=False)
            for request in busy:
                yield _result(request)
        finally:  # also where the reader stops early
            for request in busy:
                request.wait()

    def _run(self, output: str, w_plus: Tensor) -> np.ndarray:
        if output not in self._requests:
            self._requests[output] = self._compiled(output, "LATENCY").create_infer_request()
        request = self._requests[output]
        return np.concatenate([request.infer({0: _array(row)})[0] for row in w_plus.split(1)])

    def _compiled(self, output: str, mode: str) -> Any:
        if (output, mode) not in self._models:
            model, core = wavelet_graph(self.generator, output, self.resolution), openvino.Core()
            has_half = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            half = has_half and output != "image" and not self.exact
            settings = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32"}
            settings["PERFORMANCE_HINT"] = mode
            self._models[output, mode] = core.compile_model(model, "CPU", settings)
        return self._models[output, mode]


def _array(w_plus: Tensor) -> np.ndarray:
    return w_plus.detach().float().cpu().contiguous().numpy()


def _result(request: Any) -> Frame:
    request.wait()
    return request.get_output_tensor(0).data[0].copy()


class PreparedHalf(Prepared):
    """Any generator on a GPU: float16 where it is safe, and CUDA graphs."""

    def __init__(self, generator: Any, size: int | None = None):
        super().__init__(generator, size)
        self._copy, options = copy.deepcopy(generator), {"half": torch.float16}
        if not hasattr(generator, "to_rgb"):  # the wavelets' range is small everywhere
            self._copy, options = self._copy.half().to(memory_format=torch.channels_last), {}
            self._copy.preview_heads.half()
        self._dtype = self._copy.const.dtype
        graph = functools.partial(torch.compile, mode="reduce-overhead")
        self._render = graph(functools.partial(self._copy.synthesis, **options))
        self._small = graph(self._copy.preview)

    def render(self, w_plus: WPlus, noise: Noise) -> Image:
        return self._render(w_plus.to(self._dtype), noise).float()

    @torch.no_grad()
    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return self._small(w_plus.to(self._dtype), size).float()


class PreparedStyleGAN2(Prepared):
    """StyleGAN2 on a CPU, rearranged in PyTorch.

    The squared sums that demodulation needs are computed once; weights, which are small beside
    activations, are modulated for each sample; the leaky ReLU's gain is a part of weights, bias
    and noise; the rest happens in place.
    """

    def __init__(self, generator: nn.Module, size: int | None = None):
        super().__init__(generator, size)
        with torch.no_grad():
            self._layers = [_Convolution.of(layer) for layer in generator.layers]
            self._rgb = [
                (rgb.weight[:, :, 0, 0] / math.sqrt(rgb.weight.shape[1]), rgb.bias.clone())
                for rgb in generator.to_rgb
            ]

    def render(self, w_plus: WPlus, noise: Noise) -> Image:
        styles = self.generator.styles(w_plus)
        noises = self.generator.noise_images(noise, len(w_plus))
        images = []
        for i in range(len(w_plus)):
            own = [n if n is None or len(n) == 1 else n[i : i + 1] for n in noises]
            images.append(self._one([style[i] for style in styles], own))
        return torch.cat(images)

    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return F.adaptive_avg_pool2d(self.synthesis(w_plus), size)

    def _one(self, styles: list[Tensor], noises: list[Tensor | None]) -> Image:
        blur, clamp = self.generator.blur, self.generator.config.conv_clamp
        bound = lambda x: x if clamp is None else x.clamp_(-clamp, clamp)
        x, rgb = self.generator.const[None].contiguous(memory_format=torch.channels_last), None
        for i, (weight, bias) in enumerate(self._rgb):
            for k in (0,) if i == 0 else (2 * i - 1, 2 * i):
                # Style space runs conv, rgb, then conv, conv, rgb for every resolution.
                x = self._layers[k](x, styles[k + (k + 1) // 2], blur)
                x = x if noises[k] is None else x.add_(noises[k] * self._layers[k].strength)
                x = bound(F.leaky_relu_(x, 0.2))
            own = (weight * styles[3 * i + 1])[:, :, None, None]
            colours = bound(F.conv2d(x, own, bias))
            rgb = colours if rgb is None else upsample_rgb(rgb, blur).add_(colours)
        return rgb.contiguous()


@dataclass
class _Convolution:
    """A styled layer's constants."""

    weight: Float[Tensor, "first second 3 3"]
    """Scaled; (out, in) where it convolves, (in, out) where it upsamples by transposition."""
    energy: Float[Tensor, "channels out_channels"]
    """Squared weights summed over the kernel: styles^2 @ energy is what demodulation undoes."""
    bias: Float[Tensor, " out_channels"]
    strength: float
    """Of the noise."""
    up: bool

    @classmethod
    def of(cls, layer: StyledLayer) -> "_Convolution":
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        energy = weight.square().sum((2, 3)).T.contiguous()
        weight = weight.transpose(0, 1) if layer.up else weight
        weight = weight.contiguous(memory_format=torch.channels_last)
        return cls(weight, energy, layer.bias * GAIN, layer.noise_strength.item() * GAIN, layer.up)

    def __call__(self, x: Features, style: Float[Tensor, " channels"], blur: Tensor) -> Tensor:
        demodulation = GAIN * torch.rsqrt(style.square() @ self.energy + DEMODULATION_EPSILON)
        if not self.up:
            own = self.weight * demodulation[:, None, None, None] * style[:, None, None]
            return F.conv2d(x, own, self.bias, padding=1)
        own = self.weight * style[:, None, None, None] * demodulation[:, None, None]
        x = upfirdn2d(F.conv_transpose2d(x, own, stride=2), blur, padding=1, gain=4.0)
        return x.add_(self.bias[:, None, None])


def prepare(generator: nn.Module, size: int | None = None) -> Prepared:
    """The fastest copy of a generator for the device that it is on.

    Args:
        size: Edge of the images in pixels: the generator's, a half or a quarter of it (averaged).
    """
    if generator.const.device.type == "cuda":
        return PreparedHalf(generator, size)
    if hasattr(generator, "to_rgb"):
        return PreparedStyleGAN2(generator, size)
    kind = PreparedWavelet if generator.const.device.type == "cpu" else Prepared
    return kind(generator, size)
