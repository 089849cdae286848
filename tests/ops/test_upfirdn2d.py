import pytest
import torch
import torch.nn.functional as F
from derivatives import normal
from hypothesis import given, settings
from hypothesis import strategies as st

from xfer.errors import BadValue
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

BLUR = [1.0, 3.0, 3.0, 1.0]
STYLEGAN2 = [{"padding": 1}, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}, {"down": 2}]


def textbook(x, f, up, down, padding, flip_filter, gain):
    """By the definition: store the zeros, pad, convolve everything, throw most of it away."""
    f = torch.outer(f, f) if f.ndim == 1 else f
    batch, channels, height, width = x.shape
    spaced = x.new_zeros(batch, channels, height * up, width * up)
    spaced[:, :, ::up, ::up] = x
    spaced = F.pad(spaced, padding)
    if spaced.shape[2] < f.shape[0] or spaced.shape[3] < f.shape[1]:
        return None
    kernel = (f if flip_filter else f.flip(0, 1)).to(x.dtype) * gain
    planes = F.conv2d(spaced.flatten(0, 1)[:, None], kernel[None, None])[:, :, ::down, ::down]
    return planes.unflatten(0, (batch, channels))[:, :, 0]


side, factor = st.integers(-2, 5), st.integers(1, 4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    up=factor,
    down=factor,
    padding=st.tuples(side, side, side, side),
    taps=st.one_of(st.tuples(st.integers(1, 12)), st.tuples(st.integers(1, 5), st.integers(1, 5))),
    channels=st.sampled_from([2, 9]),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    flip_filter=st.booleans(),
)
def test_it_follows_the_definition_and_keeps_the_layout(
    up, down, padding, taps, channels, layout, flip_filter
):
    x = normal((2, channels, 6, 7), torch.float64, 3).contiguous(memory_format=layout)
    f = normal(taps, torch.float32, 4)
    x.requires_grad_()
    arguments = (up, down, padding, flip_filter, 1.5)
    expected = textbook(x, f, *arguments)
    if expected is None:
        with pytest.raises(BadValue, match="pad more"):
            upfirdn2d(x, f, *arguments)
        return
    y = upfirdn2d(x, f, *arguments)
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-6)
    assert y.is_contiguous(memory_format=layout)
    d = normal(y.shape, y.dtype, 5)
    mine, theirs = (torch.autograd.grad(out, x, d)[0] for out in (y, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_an_impulse_comes_out_as_the_filter_itself():
    x = torch.zeros(1, 1, 1, 1) + 2
    f = torch.arange(1.0, 7).reshape(2, 3)
    torch.testing.assert_close(upfirdn2d(x, f, padding=(2, 2, 1, 1))[0, 0], 2 * f)
    turned = upfirdn2d(x, f, padding=(2, 2, 1, 1), flip_filter=True)[0, 0]
    torch.testing.assert_close(turned, 2 * f.flip(0, 1))


def test_the_blur_keeps_a_constant_and_removes_a_checkerboard():
    f = setup_filter(BLUR)
    inside = upfirdn2d(torch.full((1, 2, 8, 8), 3.0), f)
    torch.testing.assert_close(inside, torch.full((1, 2, 5, 5), 3.0))
    board = torch.ones(8)
    board[::2] = -1
    board = torch.outer(board, board)[None, None]
    torch.testing.assert_close(upfirdn2d(board, f), torch.zeros(1, 1, 5, 5))


def test_a_filter_sums_to_one_and_a_row_can_stay_a_row():
    assert setup_filter(BLUR).shape == (4, 4)
    assert setup_filter(BLUR).sum() == 1
    torch.testing.assert_close(setup_filter(BLUR, separable=True), torch.tensor(BLUR) / 8)


@pytest.mark.parametrize("arguments", STYLEGAN2)
@pytest.mark.parametrize("row", [True, False])
def test_gradients_are_right_to_second_order(arguments, row):
    f = setup_filter(BLUR, separable=row)
    x = normal((1, 2, 5, 4), torch.float64, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: upfirdn2d(x, f, **arguments), x)
    assert torch.autograd.gradgradcheck(lambda x: upfirdn2d(x, f, **arguments), x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_registered_operator_passes_every_check_of_pytorch(layout):
    x = normal((2, 3, 6, 5), torch.float32, 0).contiguous(memory_format=layout)
    for options in (
        ([2, 2], [1, 1], [2, 1, 2, 1], False, 4.0),
        ([1, 1], [2, 2], [1, 1, 1, 1], True, 1.0),
        ([3, 1], [1, 2], [-1, 5, 0, 3], False, 1.0),
    ):
        arguments = (x.detach().requires_grad_(), setup_filter(BLUR), *options)
        torch.library.opcheck(torch.ops.xfer.upfirdn2d, arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_differs_by_rounding_alone(dtype):
    f = setup_filter(BLUR)
    x = normal((2, 16, 9, 9), dtype, 0).contiguous(memory_format=torch.channels_last)
    y = upfirdn2d(x, f, padding=1)
    assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(y.float(), upfirdn2d(x.float(), f, padding=1), rtol=eps, atol=eps)


def test_autocast_leaves_the_type_alone():
    with torch.autocast("cpu", torch.bfloat16):
        y = upfirdn2d(normal((1, 2, 5, 5), torch.float32, 0), setup_filter(BLUR), padding=1)
    assert y.dtype == torch.float32


def test_an_empty_batch_gives_an_empty_batch():
    y = upfirdn2d(torch.zeros(0, 3, 4, 4), setup_filter(BLUR), up=2, padding=(2, 1, 2, 1))
    assert y.shape == (0, 3, 8, 8)


def test_bad_arguments_are_named():
    x, f = torch.zeros(1, 1, 2, 2), setup_filter(BLUR)
    with pytest.raises(BadValue, match="up=0"):
        upfirdn2d(x, f, up=0)
    with pytest.raises(BadValue, match="one number, two or four; got 3"):
        upfirdn2d(x, f, padding=(1, 2, 3))
    with pytest.raises(BadValue, match="4 x 4 taps leaves nothing of 2 x 2"):
        upfirdn2d(x, f)
    with pytest.raises(BadValue, match="constant"):
        upfirdn2d(x, f.requires_grad_(), padding=1)
    with pytest.raises(BadValue, match="the filter is on meta"):
        upfirdn2d(x, setup_filter(BLUR).to("meta"), padding=1)
    with pytest.raises(BadValue, match="sum to zero"):
        setup_filter([1.0, -1.0])
