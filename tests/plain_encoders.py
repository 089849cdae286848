"""Encoders of the public layout restated layer by layer, from nothing but their tensors.

`ir_se_shapes` and its sisters give names and shapes of any size; the functions beside them compute
what such tensors mean, with no module of the package.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
Shapes = dict[str, list[int]]


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.{part}": [width] for part in ("weight", "bias", "running_mean", "running_var")}


def ir_se_shapes(
    channels: tuple[int, ...], blocks: tuple[int, ...], inputs: int, reduction: int
) -> Shapes:
    """The body's tensors, without the counters of batches that some files lack."""
    width, i = channels[0], 0
    shapes = {"input_layer.0.weight": [width, inputs, 3, 3], "input_layer.2.weight": [width]}
    shapes |= norm_shapes("input_layer.1", width)
    for out, count in zip(channels, blocks, strict=True):
        for _ in range(count):
            unit = f"body.{i}.res_layer"
            shapes |= {
                f"{unit}.1.weight": [out, width, 3, 3],
                f"{unit}.2.weight": [out],
                f"{unit}.3.weight": [out, out, 3, 3],
                f"{unit}.5.fc1.weight": [out // reduction, out, 1, 1],
                f"{unit}.5.fc2.weight": [out, out // reduction, 1, 1],
            }
            shapes |= norm_shapes(f"{unit}.0", width) | norm_shapes(f"{unit}.4", out)
            if out != width:
                shapes[f"body.{i}.shortcut_layer.0.weight"] = [out, width, 1, 1]
                shapes |= norm_shapes(f"body.{i}.shortcut_layer.1", out)
            width, i = out, i + 1
    return shapes


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var, gain, shift = (
        state[f"{name}.{part}"].view(-1, *[1] * (x.ndim - 2))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * gain + shift


def prelu(state: State, name: str, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * state[f"{name}.weight"][:, None, None])


def body(state: State, blocks: tuple[int, ...], x: Tensor) -> Tensor:
    x = F.conv2d(x, state["input_layer.0.weight"], padding=1)
    x = prelu(state, "input_layer.2", norm(state, "input_layer.1", x))
    firsts = [sum(blocks[:i]) for i in range(len(blocks))]
    for i in range(sum(blocks)):
        unit, skip, stride = f"body.{i}.res_layer", f"body.{i}.shortcut_layer", 1 + (i in firsts)
        y = F.conv2d(norm(state, f"{unit}.0", x), state[f"{unit}.1.weight"], padding=1)
        y = prelu(state, f"{unit}.2", y)
        y = norm(state, f"{unit}.4", F.conv2d(y, state[f"{unit}.3.weight"], None, stride, 1))
        gain = F.conv2d(y.mean((2, 3), keepdim=True), state[f"{unit}.5.fc1.weight"]).relu()
        y = y * F.conv2d(gain, state[f"{unit}.5.fc2.weight"]).sigmoid()
        if f"{skip}.0.weight" in state:
            x = norm(state, f"{skip}.1", F.conv2d(x, state[f"{skip}.0.weight"], None, stride))
        else:
            x = F.max_pool2d(x, 1, stride)
        x = x + y
    return x


def motion_shapes(
    channels: tuple[int, ...], blocks: tuple[int, ...], n_styles: int, width: int
) -> Shapes:
    """A motion encoder with an h and styles of `width` numbers."""
    top = channels[-1]
    return (
        ir_se_shapes(channels, blocks, 3, 4)
        | norm_shapes("output_layer_2.0", top)
        | {"output_layer_2.3.weight": [width, top * 49], "output_layer_2.3.bias": [width]}
        | {"linear.weight": [n_styles * width, width], "linear.bias": [n_styles * width]}
    )


def motion_code(state: State, blocks: tuple[int, ...], image: Tensor) -> Tensor:
    """Flattened code of 256 px pictures."""
    x = norm(state, "output_layer_2.0", body(state, blocks, image))
    x = F.adaptive_avg_pool2d(x, 7).flatten(1)
    h = x @ state["output_layer_2.3.weight"].T + state["output_layer_2.3.bias"]
    return h @ state["linear.weight"].T / h.shape[1] ** 0.5 + state["linear.bias"]


def restyle_shapes(
    channels: tuple[int, ...], blocks: tuple[int, ...], n_styles: int, width: int, halvings: int
) -> Shapes:
    """An inverter with `n_styles` heads of `halvings` strided convolutions."""
    shapes = ir_se_shapes(channels, blocks, 6, 4)
    for k in range(n_styles):
        for i in range(halvings):
            inputs = width if i else channels[-1]
            shapes[f"styles.{k}.convs.{2 * i}.weight"] = [width, inputs, 3, 3]
            shapes[f"styles.{k}.convs.{2 * i}.bias"] = [width]
        shapes[f"styles.{k}.linear.weight"] = [width, width]
        shapes[f"styles.{k}.linear.bias"] = [width]
    return shapes


def offsets(state: State, blocks: tuple[int, ...], n_styles: int, pair: Tensor) -> Tensor:
    """One offset a style, of pictures and reconstructions in six channels."""
    features, found = body(state, blocks, pair), []
    for k in range(n_styles):
        x, i = features, 0
        while (name := f"styles.{k}.convs.{2 * i}") + ".weight" in state:
            x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], 2, 1)
            x, i = torch.where(x > 0, x, 0.01 * x), i + 1
        x, name = x.flatten(1), f"styles.{k}.linear"
        found.append(x @ state[f"{name}.weight"].T / x.shape[1] ** 0.5 + state[f"{name}.bias"])
    return torch.stack(found, dim=1)


def recogniser_shapes(
    channels: tuple[int, ...], blocks: tuple[int, ...], edge: int, embedding: int
) -> Shapes:
    """A recogniser whose body ends `edge` pixels wide."""
    return (
        ir_se_shapes(channels, blocks, 3, 4)
        | norm_shapes("output_layer.0", channels[-1])
        | norm_shapes("output_layer.4", embedding)
        | {"output_layer.3.weight": [embedding, channels[-1] * edge**2]}
        | {"output_layer.3.bias": [embedding]}
    )


def embedding(state: State, blocks: tuple[int, ...], image: Tensor) -> Tensor:
    x = norm(state, "output_layer.0", body(state, blocks, image)).flatten(1)
    x = x @ state["output_layer.3.weight"].T + state["output_layer.3.bias"]
    x = norm(state, "output_layer.4", x)
    return x / x.square().sum(1, keepdim=True).sqrt()
