"""Both operators against their textbook definitions, with gradients to second order."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from ops_calls import LAYOUTS, assert_agree, derivatives, normal

from xfer.errors import BadValue
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

BLUR = [1.0, 3.0, 3.0, 1.0]
STYLEGAN2 = [{"padding": 1}, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}, {"down": 2}]


def textbook(x, f, up, down, padding, gain):
    """By the definition: store the zeros, pad, convolve everything, throw most of it away."""
    batch, channels, height, width = x.shape
    spaced = x.new_zeros(batch, channels, height * up, width * up)
    spaced[:, :, ::up, ::up] = x
    spaced = F.pad(spaced, padding)
    kernel = f.flip(0, 1).to(x.dtype) * gain
    planes = F.conv2d(spaced.flatten(0, 1)[:, None], kernel[None, None])[:, :, ::down, ::down]
    return planes.unflatten(0, (batch, channels))[:, :, 0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(24))
def test_upfirdn2d_follows_the_definition_and_preserves_the_layout(seed, layout):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda low, high: int(torch.randint(low, high + 1, (), generator=rng))
    x = normal((2, draw(2, 9), 6, 7), torch.float64, seed).contiguous(memory_format=layout)
    f = normal((draw(1, 5), draw(1, 5)), torch.float32, seed + 100)
    padding = tuple(draw(-1, 5) for _ in range(4))
    how = (draw(1, 4), draw(1, 4), padding, 1.5)
    x.requires_grad_()
    y, expected = upfirdn2d(x, f, *how), textbook(x, f, *how)
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-6)
    assert y.is_contiguous(memory_format=layout)
    d = normal(y.shape, y.dtype, 5)
    ours, theirs = (torch.autograd.grad(out, x, d)[0] for out in (y, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_blur_preserves_a_constant_and_removes_a_checkerboard():
    f = setup_filter(BLUR)
    assert f.shape == (4, 4) and f.sum() == 1
    inside = upfirdn2d(torch.full((1, 2, 8, 8), 3.0), f)
    torch.testing.assert_close(inside, torch.full((1, 2, 5, 5), 3.0))
    board = torch.ones(8)
    board[::2] = -1
    board = torch.outer(board, board)[None, None]
    torch.testing.assert_close(upfirdn2d(board, f), torch.zeros(1, 1, 5, 5))


@pytest.mark.parametrize("how", STYLEGAN2)
def test_gradients_of_upfirdn2d_are_right_to_second_order(how):
    x = normal((1, 2, 5, 4), torch.float64, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: upfirdn2d(x, setup_filter(BLUR), **how), x)
    assert torch.autograd.gradgradcheck(lambda x: upfirdn2d(x, setup_filter(BLUR), **how), x)


def test_too_little_padding_is_refused():
    with pytest.raises(BadValue, match="4 x 4 taps leaves nothing of 2 x 2"):
        upfirdn2d(torch.zeros(1, 1, 2, 2), setup_filter(BLUR))


@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("gain", [1.0, 1.7, -0.6, 0.0])
@pytest.mark.parametrize("clamp", [None, 0.9])
def test_bias_act_and_its_derivatives_are_those_of_the_unfused_steps(act, gain, clamp):
    def unfused(x, b):
        y = x + b[:, None, None]
        y = (F.leaky_relu(y, 0.3) if act == "lrelu" else y) * gain
        return y if clamp is None else y.clamp(-clamp, clamp)

    inputs = normal((3, 4, 5, 6), torch.float64, 0), normal((4,), torch.float64, 1)
    ours = derivatives(lambda x, b: bias_act(x, b, 1, act, 0.3, gain, clamp), *inputs)
    assert_agree(ours, derivatives(unfused, *inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("clamp", [1.1, 0.7, 2.3, 0.1])
def test_a_bound_that_the_type_can_only_round_still_stops_the_gradient(dtype, clamp):
    x = torch.tensor([[-9.0, 9.0]], dtype=dtype, requires_grad=True)
    bias_act(x, act="lrelu", clamp=clamp).sum().backward()
    assert not x.grad.any()


def test_leaky_relu_keeps_the_scale_by_default_and_the_bias_goes_along_any_axis():
    expected = torch.tensor([[math.sqrt(2), -0.2 * math.sqrt(2)]])
    torch.testing.assert_close(bias_act(torch.tensor([[1.0, -1.0]]), act="lrelu"), expected)
    x, b = normal((4, 4, 4), torch.float32, 0), normal((4,), torch.float32, 1)
    torch.testing.assert_close(
        bias_act(x, b, dim=-1, act="lrelu", alpha=0.0, gain=1.0), F.relu(x + b)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision_keeps_type_and_layout_and_differs_by_rounding_alone(dtype, layout):
    x, eps = (
        normal((2, 16, 9, 9), dtype, 0).contiguous(memory_format=layout),
        torch.finfo(dtype).eps,
    )
    calls = (
        lambda x: upfirdn2d(x, setup_filter(BLUR), padding=(2, 1, 2, 1)),
        lambda x: bias_act(x, normal((16,), torch.float32, 1), act="lrelu", clamp=3.0),
    )
    for call in calls:
        y = call(x)
        assert y.dtype == dtype and y.stride() == x.stride()
        torch.testing.assert_close(y.float(), call(x.float()), rtol=2 * eps, atol=2 * eps)


def test_the_registered_operators_pass_every_check_of_pytorch():
    x = normal((2, 3, 6, 5), torch.float32, 0).contiguous(memory_format=torch.channels_last)
    for how in (
        ([2, 2], [1, 1], [2, 1, 2, 1], False, 4.0),
        ([3, 1], [1, 2], [-1, 5, 0, 3], True, 1.0),
    ):
        arguments = (x.detach().requires_grad_(), setup_filter(BLUR), *how)
        torch.library.opcheck(torch.ops.xfer.upfirdn2d, arguments)
    b, how = normal((3,), torch.float32, 1).requires_grad_(), (0.2, 1.5, 1.0)
    torch.library.opcheck(torch.ops.xfer.bias_act, (x.requires_grad_(), b, 1, *how))
    y = normal(x.shape, x.dtype, 3).requires_grad_()
    torch.library.opcheck(torch.ops.xfer.bias_act_slope, (x.detach().requires_grad_(), y, *how))


COMPILED = """
import torch
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

def layer(x, b, f):
    x = upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1), gain=4.0)
    return bias_act(upfirdn2d(x, f, down=2, padding=1), b, act="lrelu", clamp=1.0).square()

compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
f, b = setup_filter([1, 3, 3, 1]), torch.randn(3, requires_grad=True)
for size in (6, 7, 9):  # the later ones with dynamic shapes
    x = torch.randn(2, 3, size, 5, requires_grad=True)
    gradients = [torch.autograd.grad(call(x, b, f).sum(), (x, b)) for call in (layer, compiled)]
    torch.testing.assert_close(*gradients)
"""


def test_torch_compile_makes_one_graph_with_the_same_derivatives():
    """In a process of its own: torch.compile cannot follow the shape checks of the tests."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
