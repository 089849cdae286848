"""Prepared generators: copies for inference with the same `synthesis`, several times faster.

The wavelet generator runs in OpenVINO on a CPU, from a graph that is built here operation by
operation. What makes it faster than the network as its authors packaged it:

- the first convolution's modulation commutes with the inverse Haar transform and is merged with
  the modulation before it;
- the bands of a Haar transform come out of four convolutions, so nothing has to be split, and are
  joined block by block, which moves whole pixels;
- the last Haar transform is a part of the last convolution's weights.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from xfer.errors import BadValue
from xfer.shapes import Image, W, WPlus, Z
from xfer.stylegan2.layers import Noise

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
    def __call__(self, z: Z, psi: float = 1.0, cutoff: int | None = None) -> Image:
        """Random images: mapping, truncation, synthesis."""
        return self.synthesis(self.truncate(self.to_w_plus(self.mapping(z)), psi, cutoff))

    @torch.no_grad()
    def synthesis(self, w_plus: WPlus | W, noise: Noise = "stored") -> Image:
        """Images of styles; arguments as `Generator.synthesis`."""
        w_plus = self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus
        return self.resize(self.generator.synthesis(w_plus, noise))

    @torch.no_grad()
    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        """Small images, as `Generator.preview`."""
        return self.generator.preview(w_plus, size)

    def resize(self, image: Image) -> Float[Tensor, "batch 3 resolution resolution"]:
        """A whole image averaged down to this one's size."""
        return F.adaptive_avg_pool2d(image, self.resolution)

    def frames(self, w_plus: WPlus) -> UInt8[np.ndarray, "batch height width 3"]:
        """Images as bytes, channels last."""
        images = self.synthesis(w_plus).clamp(-1, 1).mul(127.5).add(128).clamp(max=255)
        return images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def stream(self, w_pluses: Iterable[WPlus]) -> Iterator[Frame]:
        """One frame for each `1 n_styles w_dim`, in order; the next ones are under way already."""
        for w_plus in w_pluses:
            yield self.frames(w_plus)[0]


class PreparedWavelet(Prepared):
    """The wavelet generator on a CPU, compiled by OpenVINO on first use; float32 throughout."""

    def __init__(self, generator: Any, size: int | None = None):
        super().__init__(generator, size)
        self._models: dict[tuple[str, str], Any] = {}
        self._requests: dict[str, Any] = {}

    @torch.no_grad()
    def synthesis(self, w_plus: WPlus | W, noise: Noise = "stored") -> Image:
        """Images of styles; noise other than the stored one is left to PyTorch."""
        if noise != "stored":
            return super().synthesis(w_plus, noise)
        w_plus = self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus
        return torch.from_numpy(self._run("image", w_plus))

    @torch.no_grad()
    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return torch.from_numpy(self._run(f"preview_{size}", w_plus))

    def frames(self, w_plus: WPlus) -> UInt8[np.ndarray, "batch height width 3"]:
        return self._run("frames", w_plus)

    def stream(self, w_pluses: Iterable[WPlus]) -> Iterator[Frame]:
        compiled = self._compiled("frames", "THROUGHPUT")
        n = max(2, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        idle, busy = [compiled.create_infer_request() for _ in range(n)], []
        for w_plus in w_pluses:
            if not idle:
                yield _result(busy[0]).copy()[0]
                idle.append(busy.pop(0))
            busy.append(idle.pop())
            busy[-1].start_async({0: _array(w_plus)}, share_inputs=False)
        for request in busy:
            yield _result(request).copy()[0]

    def _run(self, output: str, w_plus: Tensor) -> np.ndarray:
        if output not in self._requests:
            self._requests[output] = self._compiled(output, "LATENCY").create_infer_request()
        request = self._requests[output]
        return np.concatenate([request.infer({0: _array(row)})[0] for row in w_plus.split(1)])

    def _compiled(self, output: str, mode: str) -> Any:
        if (output, mode) not in self._models:
            import openvino

            model = wavelet_graph(self.generator, output, self.resolution)
            # Float32 in so many words: elsewhere bfloat16 is the default, less exact and no faster.
            settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": mode}
            compiled = openvino.Core().compile_model(model, "CPU", settings)
            self._models[output, mode] = compiled
        return self._models[output, mode]


def _array(w_plus: Tensor) -> np.ndarray:
    return w_plus.detach().float().cpu().contiguous().numpy()


def _result(request: Any) -> np.ndarray:
    request.wait()
    return request.get_output_tensor(0).data


class PreparedHalf(Prepared):
    """The wavelet generator on a GPU: float16 and, with `compile`, CUDA graphs."""

    def __init__(self, generator: Any, size: int | None = None, compile: bool = True):
        super().__init__(generator, size)
        self._half = copy.deepcopy(generator).half().to(memory_format=torch.channels_last)
        self._render, self._small = self._half.synthesis, self._half.preview
        if compile:
            self._render = torch.compile(self._render, mode="reduce-overhead")
            self._small = torch.compile(self._small, mode="reduce-overhead")

    @torch.no_grad()
    def synthesis(self, w_plus: WPlus | W, noise: Noise = "stored") -> Image:
        w_plus = self.to_w_plus(w_plus) if w_plus.ndim == 2 else w_plus
        return self.resize(self._render(w_plus.half(), noise).float())

    @torch.no_grad()
    def preview(self, w_plus: WPlus, size: int = 256) -> Image:
        return self._small(w_plus.half(), size).float()


def prepare(generator: nn.Module, size: int | None = None, compile: bool = True) -> Prepared:
    """The fastest copy of a wavelet generator for the device that it is on.

    Args:
        size: Edge of the images in pixels: the generator's, a half or a quarter of it (averaged).
        compile: On a GPU, whether to use CUDA graphs through torch.compile.
    """
    if generator.w_mean.device.type == "cuda":
        return PreparedHalf(generator, size, compile)
    with contextlib.suppress(ImportError):
        import openvino  # noqa: F401

        if generator.w_mean.device.type == "cpu":
            return PreparedWavelet(generator, size)
    return Prepared(generator, size)


HAAR = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32) / 2
"""The pixels top left, top right, bottom left, bottom right out of the bands low, lh, hl, hh."""


def _bands(channels: int) -> np.ndarray:
    """Indices of the channels of each band, `4 channels/4`: the low ones, then lh, hl, hh."""
    n = channels // 4
    return np.stack([np.arange(n)] + [n + 3 * np.arange(n) + k for k in range(3)])


def wavelet_graph(generator: Any, output: str, size: int) -> Any:
    """An OpenVINO model from `1 n_styles w_dim` to the image or what is made of inner features.

    Args:
        output: "image" (float, `1 3 size size`), "frames" (bytes, `1 size size 3`), "preview_256",
            "preview_128", or "training": the image and the features at 64 and 128 px.
    """
    import openvino

    g, n_styles = _Graph(generator), generator.n_styles
    if output.startswith("preview"):
        head, first_fine = generator.preview_heads.head(int(output.removeprefix("preview_")))
        features = g.features(head.reads)
        results = [g.preview(features[head.reads], head, g.styles(first_fine, n_styles))]
    else:
        features = g.features()
        last = g.scale(
            g.whole(features[max(features)]),
            g.linear(g.styles(n_styles - 1, n_styles), generator.to_wavelets.affine),
        )
        results = [g.image(last, generator.to_wavelets.conv, generator.resolution // size)]
        if output == "frames":
            results = [g.bytes(results[0])]
        if output == "training":
            results += [g.whole(features[64]), g.whole(features[128])]
    return openvino.Model([g.ops.result(r) for r in results], [g.w_plus], output)


class _Graph:
    """The generator's layers as OpenVINO operations."""

    def __init__(self, generator: Any):
        import openvino.opset13 as ops

        self.ops, self.generator = ops, generator
        self.w_plus = ops.parameter([1, generator.n_styles, generator.w_dim], np.float32, "w_plus")

    def constant(self, value: Any) -> Any:
        value = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return self.ops.constant(np.ascontiguousarray(value))

    def gather(self, x: Any, index: np.ndarray) -> Any:
        return self.ops.gather(x, self.constant(index), self.constant(np.array(1)))

    def styles(self, first: int, last: int) -> Any:
        """Styles `first` to `last - 1` as one row."""
        rows = self.gather(self.w_plus, np.arange(first, last))
        return self.ops.reshape(rows, self.constant(np.array([1, -1])), False)

    def linear(self, x: Any, layer: nn.Linear, rows: Any = slice(None), gain: float = 1.0) -> Any:
        product = self.ops.matmul(x, self.constant(layer.weight[rows] * gain), False, True)
        return self.ops.add(product, self.constant(layer.bias[rows][None] * gain))

    def scale(self, x: Any, gains: Any) -> Any:
        """Every channel times its gain."""
        return self.ops.multiply(x, self.per_channel(gains))

    def per_channel(self, row: Any) -> Any:
        return self.ops.unsqueeze(row, self.constant(np.array([2, 3])))

    def conv(self, x: Any, weight: Any, bias: Any = None) -> Any:
        pad = [weight.shape[2] // 2] * 2
        y = self.ops.convolution(x, self.constant(weight), [1, 1], pad, pad, [1, 1])
        return y if bias is None else self.ops.add(y, self.constant(bias.reshape(1, -1, 1, 1)))

    def depthwise(self, x: Any, weight: Tensor) -> Any:
        return self.ops.group_convolution(
            x, self.constant(weight[:, None]), [1, 1], [1, 1], [1, 1], [1, 1]
        )

    def lrelu(self, x: Any) -> Any:
        return self.ops.prelu(x, self.constant(np.array([0.2], np.float32)))

    def features(self, upto: int | None = None) -> dict[int, list[Any]]:
        """The last convolution's output at every resolution, as its four bands, or whole."""
        layers = self.generator
        x = self.scale(
            self.constant(layers.const[None]), self.linear(self.styles(0, 1), layers.conv.affine)
        )
        x = self.conv(x, layers.conv.conv.weight, layers.conv.bias)
        x = self.lrelu(self.ops.add(x, self.constant(layers.conv.noise[None, None])))
        found = {4: [self.gather(x, band) for band in _bands(len(layers.conv.bias))]}
        for i, block in enumerate(layers.blocks):
            resolution, before = 8 << i, found[4 << i]
            if upto is not None and resolution > upto:
                break
            x = self.upsample(before, block, self.styles(2 * i + 1, 2 * i + 2))
            x = self.depthwise(x, block.conv0.conv[0].weight)
            x = self.finish(x, block.conv0)
            gains = self.linear(self.styles(2 * i + 2, 2 * i + 3), block.conv1.affine)
            x = self.depthwise(self.scale(x, gains), block.conv1.conv[0].weight)
            is_last = i == len(layers.blocks) - 1 or resolution == upto
            parts = [slice(None)] if is_last else _bands(len(block.conv1.bias))
            found[resolution] = [self.finish(x, block.conv1, part) for part in parts]
        return found

    def finish(self, x: Any, layer: Any, part: Any = slice(None)) -> Any:
        """Pointwise convolution, bias, noise and leaky ReLU of some output channels."""
        y = self.conv(x, layer.conv[1].weight[part], layer.bias[part])
        return self.lrelu(self.ops.add(y, self.constant(layer.noise[None, None])))

    def upsample(self, bands: list[Any], block: Any, style: Any) -> Any:
        """The modulations of block and first convolution, and the inverse Haar transform."""
        ops, own = self.ops, self.linear(style, block.conv0.affine, gain=0.5)
        order = _bands(block.up.out_features)
        low, lh, hl, hh = (
            self.scale(band, ops.multiply(self.linear(style, block.up, index), own))
            for band, index in zip(bands, order, strict=True)
        )
        top, bottom = ops.add(low, lh), ops.subtract(low, lh)
        right, right_bottom = ops.add(hl, hh), ops.subtract(hl, hh)
        pixels = [ops.add(top, right), ops.subtract(top, right),
                  ops.add(bottom, right_bottom), ops.subtract(bottom, right_bottom)]  # fmt: skip
        return ops.depth_to_space(ops.concat(pixels, 1), "blocks_first", 2)

    def whole(self, bands: list[Any]) -> Any:
        """Channels in their own order again."""
        if len(bands) == 1:
            return bands[0]
        x = self.ops.concat(bands, 1)
        return self.gather(x, np.argsort(_bands(x.shape[1]).reshape(-1)))

    def image(self, x: Any, conv: nn.Conv2d, reduction: int = 1) -> Any:
        """A convolution to wavelets and the inverse Haar transform, as one convolution."""
        weight, bias = conv.weight.detach().cpu().numpy(), conv.bias.detach().cpu().numpy()
        if reduction > 1:  # half the low band is the mean of four pixels
            y = self.conv(x, weight[:3] / 2, bias[:3] / 2)
            return (
                y if reduction == 2 else self.ops.avg_pool(y, [2, 2], [0, 0], [0, 0], [2, 2], True)
            )
        weight, bias = (np.einsum("ab,b...->a...", HAAR, p[_bands(12)]) for p in (weight, bias))
        y = self.conv(x, weight.reshape(12, *weight.shape[2:]), bias.reshape(12))
        return self.ops.depth_to_space(y, "blocks_first", 2)

    def bytes(self, image: Any) -> Any:
        """Bytes, channels last."""
        half, offset = self.constant(np.float32(127.5)), self.constant(np.float32(128))
        scaled = self.ops.clamp(self.ops.add(self.ops.multiply(image, half), offset), 0.0, 255.0)
        channels_last = self.ops.transpose(scaled, self.constant(np.array([0, 2, 3, 1])))
        return self.ops.convert(channels_last, "u8")

    def preview(self, features: list[Any], head: Any, fine: Any) -> Any:
        """The head of a preview, layer by layer as in preview.py."""
        width, modulation = head.squeeze.out_channels, self.linear(fine, head.styles[0])
        gain = self.linear(modulation, head.styles[1], slice(0, width))
        bias = self.linear(modulation, head.styles[1], slice(width, None))
        x = self.conv(self.whole(features), head.squeeze.weight, head.squeeze.bias)
        gain = self.ops.add(gain, self.constant(np.float32(1)))
        first = self.ops.add(self.scale(x, gain), self.per_channel(bias))
        x = self.lrelu(first)
        for conv in head.convs:
            x = self.lrelu(self.conv(x, conv.weight, conv.bias))
        return self.image(self.ops.concat([first, x], 1), head.to_wavelets)
