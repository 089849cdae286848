"""TensorFlow Lite networks as differentiable PyTorch modules.

OpenVINO reads the file and lays it out with channels first; each of its operations is then written
as the PyTorch function of the same meaning, and torch.fx keeps the result as one module.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from torch import fx


def tflite_module(file: bytes) -> fx.GraphModule:
    """A float network of one input as a frozen module: input as in the file -> its outputs.

    The first axis of every tensor is taken for the batch, whatever size the file fixes for it.

    Args:
        file: Content of a .tflite file.
    """
    model = read_tflite(file)

    class Network(torch.nn.Module):
        def forward(self, x):
            outputs = evaluate(model, x)
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return fx.symbolic_trace(Network()).eval().requires_grad_(False)


def read_tflite(file: bytes) -> openvino.Model:
    """OpenVINO's graph of a TensorFlow Lite file, its outputs in the file's order."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file goes before the graph does
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(file)
        return core.read_model(path)


def evaluate(model: openvino.Model, x: Any) -> list:
    """Outputs of an OpenVINO graph at `x`, a tensor or a stand-in of it that fx traces."""
    values = {}
    batch = model.inputs[0].partial_shape[0]
    file_batch = batch.get_length() if batch.is_static else -1
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        sources = [port.get_source_output().get_node() for port in node.inputs()]
        inputs = [values[source.get_name()] for source in sources]
        if kind == "Parameter":
            value = x
        elif kind == "Constant":
            value = torch.from_numpy(np.array(node.data))
            value = value.float() if value.is_floating_point() else value
        elif kind == "Reshape":
            value = reshape(node, file_batch, inputs[0])
        else:
            value = OPERATIONS[kind](node.get_attributes(), *inputs)
        values[node.get_name()] = value
    return [values[result.get_name()] for result in model.get_results()]


def reshape(node: openvino.Node, file_batch: int, x):
    sizes = [d.get_length() if d.is_static else -1 for d in node.get_output_partial_shape(0)]
    if isinstance(x, torch.Tensor):  # a weight
        return x.reshape(sizes)
    has_batch = sizes[0] in (-1, file_batch)
    return x.reshape(x.shape[0], *(sizes[1:] if has_batch else sizes))


def convolution(at: dict, x, weight):
    groups = 1 if weight.ndim == 4 else len(weight)
    begin, end = at["pads_begin"], at["pads_end"]
    if begin != end:
        x, begin = F.pad(x, (begin[1], end[1], begin[0], end[0])), [0, 0]
    weight = weight.reshape(-1, *weight.shape[-3:]).contiguous()
    return F.conv2d(x, weight, None, at["strides"], begin, at["dilations"], groups)


def unsqueeze(at: dict, x, axes):
    for axis in sorted(axes.flatten().tolist()):
        x = x.unsqueeze(axis)
    return x


def pad(at: dict, x, begin, end, *value):
    pairs = zip(begin.tolist()[::-1], end.tolist()[::-1], strict=True)
    return F.pad(x, [size for pair in pairs for size in pair])


@fx.wrap  # computed at each call, since the size of the batch is not known before
def concatenate(inputs, axis):
    batch = max(len(x) for x in inputs)
    return torch.cat([x.expand(batch, *x.shape[1:]) for x in inputs], axis)


def strided_slice(at: dict, x, *ends):
    """Slices of all axes but the first, the batch, which is kept whole."""
    begin, end, step = (v.tolist() for v in ends)
    index = [slice(None)]
    for axis in range(1, len(begin)):
        first = None if at["begin_mask"][axis] else begin[axis]
        last = None if at["end_mask"][axis] else end[axis]
        index.append(slice(first, last, step[axis]))
    return x[tuple(index)]


OPERATIONS = {
    "Result": lambda at, x: x,
    "Add": lambda at, a, b: a + b,
    "Subtract": lambda at, a, b: a - b,
    "Multiply": lambda at, a, b: a * b,
    "Divide": lambda at, a, b: a / b,
    "Power": lambda at, a, b: a**b,
    "SquaredDifference": lambda at, a, b: (a - b).square(),
    "Relu": lambda at, x: F.relu(x),
    "PRelu": lambda at, x, slope: F.prelu(x, slope.flatten()),
    "Sigmoid": lambda at, x: x.sigmoid(),
    "Abs": lambda at, x: x.abs(),
    "Negative": lambda at, x: -x,
    "Convert": lambda at, x: x.float(),
    "ReduceMean": lambda at, x, axes: x.mean(axes.flatten().tolist(), keepdim=at["keep_dims"]),
    "ReduceSum": lambda at, x, axes: x.sum(axes.flatten().tolist(), keepdim=at["keep_dims"]),
    "Transpose": lambda at, x, order: x.permute(order.tolist()),
    "MaxPool": lambda at, x: F.max_pool2d(x, at["kernel"], at["strides"], at["pads_begin"]),
    "Concat": lambda at, *inputs: concatenate(inputs, at["axis"]),
    "Convolution": convolution,
    "GroupConvolution": convolution,
    "Unsqueeze": unsqueeze,
    "Pad": pad,
    "StridedSlice": strided_slice,
}
