"""TensorFlow Lite networks as differentiable PyTorch modules.

OpenVINO reads the file and lays it out with channels first; each of its operations is then written
as the PyTorch function of the same meaning, and torch.fx keeps the result as one module.
"""

import tempfile
from pathlib import Path

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from torch import fx

from xfer.errors import BadFile

BINARY = {
    "Add": torch.add,
    "Subtract": torch.sub,
    "Multiply": torch.mul,
    "Divide": torch.div,
    "Power": torch.pow,
    "SquaredDifference": lambda a, b: (a - b).square(),
    "PRelu": lambda x, slope: F.prelu(x, slope.flatten()),
}
UNARY = {
    "Relu": F.relu,
    "Abs": torch.abs,
    "Negative": torch.neg,
    "Sigmoid": torch.sigmoid,
    "Convert": lambda x: x.float(),
}
REDUCTIONS = {"ReduceMean": torch.mean, "ReduceSum": torch.sum}


def tflite_module(file: bytes) -> fx.GraphModule:
    """A float network of one input as a frozen module: input as in the file -> its outputs.

    The first axis of every tensor is taken for the batch, whatever size the file fixes for it.

    Args:
        file: Content of a .tflite file.

    Raises:
        BadFile: The network holds an operation that is not among those known here.
    """
    model = read_tflite(file)
    n_outputs = len(model.outputs)

    class Network(torch.nn.Module):
        def forward(self, x):
            outputs = evaluate(model, x)
            return outputs[0] if n_outputs == 1 else tuple(outputs)

    return fx.symbolic_trace(Network()).eval().requires_grad_(False)


def read_tflite(file: bytes) -> openvino.Model:
    """OpenVINO's graph of a TensorFlow Lite file, its outputs in the file's order."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file goes before the graph does
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(file)
        return core.read_model(path)


def evaluate(model: openvino.Model, x):
    """Outputs of an OpenVINO graph at `x`, a tensor or a stand-in of it that fx traces."""
    values, biases = {}, {}
    batch = model.inputs[0].partial_shape[0]
    file_batch = batch.get_length() if batch.is_static else -1
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_name()
        inputs = [values[source(node, i).get_name()] for i in range(node.get_input_size())]
        if kind == "Parameter":
            value = x
        elif kind == "Constant":
            value = torch.from_numpy(np.array(node.data))
            value = value.float() if value.is_floating_point() else value
        elif kind == "Result":
            value = inputs[0]
        elif name in biases:  # added by the convolution already
            value = biases[name]
        elif kind in ("Convolution", "GroupConvolution"):
            addition, bias = following_bias(node, values)
            value = convolution(node, *inputs, bias)
            biases[addition] = value
        elif kind == "Reshape":
            value = reshape(node, file_batch, inputs[0])
        else:
            value = operation(node, inputs)
        values[name] = value
    return [values[result.get_name()] for result in model.get_results()]


def source(node, index: int):
    return node.input(index).get_source_output().get_node()


def following_bias(node, values):
    """Name and value of the constant that is added to a convolution's channels, if there is one."""
    targets = list(node.output(0).get_target_inputs())
    addition = targets[0].get_node()
    if len(targets) == 1 and addition.get_type_name() == "Add":
        other = source(addition, 1 - targets[0].get_index())
        bias = values.get(other.get_name())
        channels = node.get_output_partial_shape(0)[1].get_length()
        if isinstance(bias, torch.Tensor) and list(bias.shape) == [1, channels, 1, 1]:
            return addition.get_name(), bias.flatten()
    return None, None


def convolution(node, x, weight, bias):
    at = node.get_attributes()
    groups = 1
    if node.get_type_name() == "GroupConvolution":
        groups, weight = len(weight), weight.flatten(0, 1)
    begin, end = at["pads_begin"], at["pads_end"]
    padding = begin if begin == end else [0, 0]
    if begin != end:
        x = F.pad(x, (begin[1], end[1], begin[0], end[0]))
    return F.conv2d(x, weight.contiguous(), bias, at["strides"], padding, at["dilations"], groups)


def reshape(node, file_batch, x):
    sizes = [d.get_length() if d.is_static else -1 for d in node.get_output_partial_shape(0)]
    if isinstance(x, torch.Tensor):  # a weight
        return x.reshape(sizes)
    has_batch = sizes[0] in (-1, file_batch)
    return x.reshape(x.shape[0], *(sizes[1:] if has_batch else sizes))


def operation(node, inputs):
    kind, at = node.get_type_name(), node.get_attributes()
    if kind in BINARY:
        return BINARY[kind](*inputs)
    if kind in UNARY:
        return UNARY[kind](inputs[0])
    if kind in REDUCTIONS:
        return REDUCTIONS[kind](inputs[0], inputs[1].flatten().tolist(), keepdim=at["keep_dims"])
    if kind == "Transpose":
        return inputs[0].permute(inputs[1].tolist())
    if kind == "Unsqueeze":
        for axis in sorted(inputs[1].flatten().tolist()):
            inputs[0] = inputs[0].unsqueeze(axis)
        return inputs[0]
    if kind == "MaxPool":
        return F.max_pool2d(inputs[0], at["kernel"], at["strides"], at["pads_begin"])
    if kind == "Pad":
        pairs = zip(inputs[1].tolist()[::-1], inputs[2].tolist()[::-1], strict=True)
        return F.pad(inputs[0], [size for pair in pairs for size in pair])
    if kind == "Concat":
        return concatenate(inputs, at["axis"])
    if kind == "StridedSlice":
        return strided_slice(inputs, at)
    raise BadFile(f"a TensorFlow Lite network with the operation {kind} cannot be read here")


@fx.wrap  # computed at each call, since the size of the batch is not known before
def concatenate(inputs, axis):
    batch = max(len(x) for x in inputs)
    return torch.cat([x.expand(batch, *x.shape[1:]) for x in inputs], axis)


def strided_slice(inputs, at):
    """Slices of all axes but the first, the batch, which is kept whole."""
    x, begin, end, step = inputs[0], *(v.tolist() for v in inputs[1:])
    index = [slice(None)]
    for axis in range(1, len(begin)):
        first = None if at["begin_mask"][axis] else begin[axis]
        last = None if at["end_mask"][axis] else end[axis]
        index.append(slice(first, last, step[axis]))
    return x[tuple(index)]
