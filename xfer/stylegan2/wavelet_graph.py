"""The wavelet generator as a graph of OpenVINO operations, arranged for speed.

Against the network as its authors packaged it:

- the first convolution's modulation commutes with the inverse Haar transform and is merged with
  the modulation before it;
- the bands of a Haar transform come out of four convolutions, so nothing has to be split, and are
  joined block by block, which moves whole pixels;
- the last Haar transform is a part of the last convolution's weights.
"""

from typing import Any

import numpy as np
import openvino
import openvino.opset13 as ops
import torch
from torch import Tensor, nn

HAAR = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
"""The pixels top left, top right, bottom left, bottom right out of the bands low, lh, hl, hh."""


def _bands(channels: int) -> np.ndarray:
    """Indices of the channels of each band, `4 channels/4`: the low ones, then lh, hl, hh."""
    n = channels // 4
    return np.stack([np.arange(n)] + [n + 3 * np.arange(n) + k for k in range(3)])


def wavelet_graph(generator: Any, output: str, size: int) -> Any:
    """An OpenVINO model from `1 n_styles w_dim` to the image or what is made of inner features.

    Args:
        output: "image" (float, `1 3 size size`), "frames" (bytes, `1 size size 3`), "preview_256",
            "preview_128" or "small_frames" (bytes of the former).
    """
    g, n_styles = _Graph(generator), generator.n_styles
    if output.startswith(("preview", "small")):
        head, first_fine = generator.preview_heads.head(128 if output.endswith("128") else 256)
        features = g.features(head.reads)
        result = g.preview(features[head.reads], head, g.styles(first_fine, n_styles))
    else:
        features = g.features()
        gains = g.linear(g.styles(n_styles - 1, n_styles), generator.to_wavelets.affine)
        last = g.whole(features[max(features)]) * g.per_channel(gains)
        result = g.image(last, generator.to_wavelets.conv, generator.resolution // size)
    if output.endswith("frames"):
        result = g.bytes(result)
    return openvino.Model([ops.result(result)], [g.w_plus], output)


class _Graph:
    """The generator's layers as OpenVINO operations."""

    def __init__(self, generator: Any):
        self.generator = generator
        self._noise: dict[nn.Module, Any] = {}
        self.w_plus = ops.parameter([1, generator.n_styles, generator.w_dim], np.float32, "w_plus")

    def constant(self, value: Tensor) -> Any:
        return ops.constant(np.ascontiguousarray(value.detach().cpu().numpy()))

    def number(self, value: float | list[float]) -> Any:
        return ops.constant(value, np.float32)

    def gather(self, x: Any, index: np.ndarray) -> Any:
        return ops.gather(x, index, np.array(1))

    def styles(self, first: int, last: int) -> Any:
        """Styles `first` to `last - 1` as one row."""
        return ops.reshape(self.gather(self.w_plus, np.arange(first, last)), [1, -1], False)

    def linear(self, x: Any, layer: nn.Linear, rows: Any = slice(None), gain: float = 1.0) -> Any:
        product = ops.matmul(x, self.constant(layer.weight[rows] * gain), False, True)
        return product + self.constant(layer.bias[rows][None] * gain)

    def per_channel(self, row: Any) -> Any:
        return ops.unsqueeze(row, [2, 3])

    def conv(self, x: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
        pad = [weight.shape[2] // 2] * 2
        y = ops.convolution(x, self.constant(weight), [1, 1], pad, pad, [1, 1])
        return y if bias is None else y + self.constant(bias.reshape(1, -1, 1, 1))

    def depthwise(self, x: Any, weight: Tensor) -> Any:
        kernel, one = self.constant(weight[:, None]), [1, 1]
        return ops.group_convolution(x, kernel, one, one, one, one)

    def lrelu(self, x: Any) -> Any:
        return ops.prelu(x, self.number([0.2]))

    def features(self, upto: int | None = None) -> dict[int, list[Any]]:
        """The last convolution's output at every resolution, as its four bands, or whole."""
        layers = self.generator
        gains = self.linear(self.styles(0, 1), layers.conv.affine)
        x = self.constant(layers.const[None]) * self.per_channel(gains)
        x = self.conv(x, layers.conv.conv.weight, layers.conv.bias)
        x = self.lrelu(x + self.constant(layers.conv.noise[None, None]))
        found = {4: [self.gather(x, band) for band in _bands(len(layers.conv.bias))]}
        for i, block in enumerate(layers.blocks):
            resolution, before = 8 << i, found[4 << i]
            if upto is not None and resolution > upto:
                break
            x = self.upsample(before, block, self.styles(2 * i + 1, 2 * i + 2))
            x = self.depthwise(x, block.conv0.conv[0].weight)
            x = self.finish(x, block.conv0)
            gains = self.linear(self.styles(2 * i + 2, 2 * i + 3), block.conv1.affine)
            x = self.depthwise(x * self.per_channel(gains), block.conv1.conv[0].weight)
            is_last = i == len(layers.blocks) - 1 or resolution == upto
            parts = [slice(None)] if is_last else _bands(len(block.conv1.bias))
            found[resolution] = [self.finish(x, block.conv1, part) for part in parts]
        return found

    def finish(self, x: Any, layer: Any, part: Any = slice(None)) -> Any:
        """Pointwise convolution, bias, noise and leaky ReLU of some output channels."""
        y = self.conv(x, layer.conv[1].weight[part], layer.bias[part])
        return self.lrelu(y + self.noise(layer))

    def noise(self, layer: Any) -> Any:
        """Stored noise, times a one that OpenVINO cannot fold: else it would merge noise and bias
        into constants as large as the features, 250 MB in all."""
        if layer not in self._noise:
            first = self.gather(self.styles(0, 1), np.array([0]))
            one = self.per_channel(first) * self.number(0) + self.number(1)
            self._noise[layer] = self.constant(layer.noise[None, None]) * one
        return self._noise[layer]

    def upsample(self, bands: list[Any], block: Any, style: Any) -> Any:
        """The modulations of block and first convolution, and the inverse Haar transform."""
        own = self.linear(style, block.conv0.affine, gain=0.5)
        order = _bands(block.up.out_features)
        low, lh, hl, hh = (
            band * self.per_channel(self.linear(style, block.up, index) * own)
            for band, index in zip(bands, order, strict=True)
        )
        top, bottom, right, right_bottom = low + lh, low - lh, hl + hh, hl - hh
        pixels = [top + right, top - right, bottom + right_bottom, bottom - right_bottom]
        return ops.depth_to_space(ops.concat(pixels, 1), "blocks_first", 2)

    def whole(self, bands: list[Any]) -> Any:
        """Channels in their own order again."""
        if len(bands) == 1:
            return bands[0]
        x = ops.concat(bands, 1)
        return self.gather(x, np.argsort(_bands(x.shape[1]).reshape(-1)))

    def image(self, x: Any, conv: nn.Conv2d, reduction: int = 1) -> Any:
        """A convolution to wavelets and the inverse Haar transform, as one convolution."""
        if reduction > 1:  # half the low band is the mean of four pixels
            y = self.conv(x, conv.weight[:3] / 2, conv.bias[:3] / 2)
            whole = reduction == 2
            return y if whole else ops.avg_pool(y, [2, 2], [0, 0], [0, 0], [2, 2], True)
        weight, bias = (
            torch.einsum("ab,b...->a...", HAAR, p.detach().cpu()[_bands(12)]).flatten(0, 1)
            for p in (conv.weight, conv.bias)
        )
        return ops.depth_to_space(self.conv(x, weight, bias), "blocks_first", 2)

    def bytes(self, image: Any) -> Any:
        scaled = ops.clamp(image * self.number(127.5) + self.number(128), 0.0, 255.0)
        return ops.convert(ops.transpose(scaled, [0, 2, 3, 1]), "u8")

    def preview(self, features: list[Any], head: Any, fine: Any) -> Any:
        """The head of a preview, layer by layer as in `PreviewHead`."""
        width, modulation = head.squeeze.out_channels, self.linear(fine, head.styles[0])
        gain = self.linear(modulation, head.styles[1], slice(0, width)) + self.number(1)
        bias = self.linear(modulation, head.styles[1], slice(width, None))
        x = self.conv(self.whole(features), head.squeeze.weight, head.squeeze.bias)
        first = x * self.per_channel(gain) + self.per_channel(bias)
        x = self.lrelu(first)
        for conv in head.convs:
            x = self.lrelu(self.conv(x, conv.weight, conv.bias))
        return self.image(ops.concat([first, x], 1), head.to_wavelets)
