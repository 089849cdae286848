import math

import pytest
import torch
import torch.nn.functional as F
from derivatives import assert_agree, derivatives, normal

from xfer.errors import BadValue
from xfer.ops.activations import ACTIVATIONS
from xfer.ops.bias_act import bias_act

TEXTBOOK = {
    "linear": lambda x, alpha: x,
    "relu": lambda x, alpha: F.relu(x),
    "lrelu": F.leaky_relu,
    "sigmoid": lambda x, alpha: torch.sigmoid(x),
    "tanh": lambda x, alpha: torch.tanh(x),
    "softplus": lambda x, alpha: F.softplus(x),
    "elu": lambda x, alpha: F.elu(x),
    "selu": lambda x, alpha: F.selu(x),
    "swish": lambda x, alpha: F.silu(x),
}


def textbook(x, b, act, alpha, gain, clamp):
    y = TEXTBOOK[act](x + b[:, None, None], alpha) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("gain", [1.0, 1.7, -0.6, 0.0])
@pytest.mark.parametrize("clamp", [None, 0.9])
def test_value_and_derivatives_are_those_of_the_unfused_steps(act, gain, clamp):
    inputs = normal((3, 4, 5, 6), torch.float64, 0), normal((4,), torch.float64, 1)
    mine = derivatives(lambda x, b: bias_act(x, b, 1, act, 0.3, gain, clamp), *inputs)
    theirs = derivatives(lambda x, b: textbook(x, b, act, 0.3, gain, clamp), *inputs)
    assert_agree(mine, theirs)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_gradients_are_right_to_second_order(act):
    x, b = normal((2, 3, 4), torch.float64, 0), normal((3,), torch.float64, 1)
    inputs = x.requires_grad_(), b.requires_grad_()
    call = lambda x, b: bias_act(x, b, act=act, clamp=1.0)
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


def test_a_clamped_output_passes_no_gradient():
    x = torch.tensor([[-3.0, -0.5, 0.5, 3.0]], requires_grad=True)
    y = bias_act(x, act="lrelu", alpha=0.5, gain=2.0, clamp=2.0)
    torch.testing.assert_close(y.detach(), torch.tensor([[-2.0, -0.5, 1.0, 2.0]]))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 1.0, 2.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("clamp", [1.1, 0.7, 2.3, 0.1])
def test_a_bound_that_the_type_can_only_round_still_stops_the_gradient(dtype, clamp):
    x = torch.tensor([[-9.0, 9.0]], dtype=dtype, requires_grad=True)
    bias_act(x, act="lrelu", clamp=clamp).sum().backward()
    assert not x.grad.any()


def test_leaky_relu_keeps_the_scale_unless_told_otherwise():
    x = torch.tensor([[1.0, -1.0]])
    expected = torch.tensor([[math.sqrt(2), -0.2 * math.sqrt(2)]])
    torch.testing.assert_close(bias_act(x, act="lrelu"), expected)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_the_bias_goes_along_any_axis(dim):
    x, b = normal((4, 4, 4), torch.float32, 0), normal((4,), torch.float32, 1)
    shape = [4 if axis == dim % 3 else 1 for axis in range(3)]
    torch.testing.assert_close(bias_act(x, b, dim, "relu", gain=1.0), F.relu(x + b.view(shape)))


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_the_registered_operators_pass_every_check_of_pytorch(act):
    x = normal((2, 3, 4, 4), torch.float32, 0).contiguous(memory_format=torch.channels_last)
    x, b = x.requires_grad_(), normal((3,), torch.float32, 1).requires_grad_()
    how = (1, act, 0.2, 1.5, 1.0)
    torch.library.opcheck(torch.ops.xfer.bias_act, (x, b, *how))
    needs_input = ACTIVATIONS[act].needs_input
    d, saved = normal(x.shape, x.dtype, 2).requires_grad_(), normal(x.shape, x.dtype, 3)
    arguments = (d, saved.requires_grad_(), b if needs_input else None, *how, 1)
    torch.library.opcheck(torch.ops.xfer.bias_act_slope, arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_type_and_layout_are_kept_and_a_wider_bias_is_narrowed(dtype, layout):
    x = normal((2, 4, 5, 5), dtype, 0).contiguous(memory_format=layout)
    y = bias_act(x, normal((4,), torch.float32, 1), act="lrelu", clamp=3.0)
    assert y.dtype == dtype and y.stride() == x.stride()


def test_the_third_derivative_is_refused_where_it_is_not_known():
    x = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(bias_act(x, act="tanh").sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    with pytest.raises(BadValue, match="no third derivative"):
        second.sum().backward()


def test_bad_arguments_are_named():
    x = torch.zeros(2, 3)
    with pytest.raises(BadValue, match="got 'gelu'"):
        bias_act(x, act="gelu")
    with pytest.raises(BadValue, match="clamp is a bound"):
        bias_act(x, clamp=-1.0)
    with pytest.raises(BadValue, match=r"axis 1 of x \(2, 3\); got 4"):
        bias_act(x, torch.zeros(4))
    with pytest.raises(BadValue, match="dim is an axis"):
        bias_act(x, torch.zeros(3), dim=2)
    with pytest.raises(BadValue, match="b is on meta"):
        bias_act(x, torch.zeros(3, device="meta"))
    with pytest.raises(BadValue, match="alpha"):
        bias_act(x, act="lrelu", alpha=-0.1)
