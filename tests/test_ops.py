"""Both operators against their definitions to second order; the kernels against them on a GPU."""

import functools
import re
import subprocess
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from by_rule import given
from torch import Tensor

from xfer.errors import BadValue
from xfer.ops import build
from xfer.ops.bias_act import bias_act
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 6e-3, torch.bfloat16: 5e-2}
"""Relative and absolute, for numbers near one."""

UNEVEN = torch.arange(1.0, 17).reshape(4, 4) / 40
"""No symmetry, so that a tap taken for its neighbour or its mirror image shows."""
RESAMPLINGS = {
    "blur": (UNEVEN, {"padding": 1}),
    "upsampling": (UNEVEN, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}),
    "upsampling in the other phase": (UNEVEN, {"up": 2, "padding": (1, 2, 1, 2), "gain": 4.0}),
    "downsampling": (UNEVEN, {"down": 2, "padding": 1}),
    "up and down": (UNEVEN[:3, :2], {"up": 2, "down": 2, "padding": (3, 0, 1, 2)}),
    "cropping": (UNEVEN[:2], {"padding": (-1, 2, 3, -2)}),
    "large factors": (UNEVEN, {"up": 3, "down": 5, "padding": (1, 4, 2, 8)}),
    "a large filter": (torch.linspace(-1, 1, 90).reshape(9, 10), {"padding": 5}),
}
ACTIVATIONS = {
    f"{act}, clamp {clamp}": {"act": act, "clamp": clamp}
    for act, clamp in [("lrelu", None), ("lrelu", 1.1), ("linear", 1.1)]
}


def resample(name: str):
    """A function of x, with the filter on its device."""
    f, options = RESAMPLINGS[name]
    return lambda x: upfirdn2d(x, f.to(x.device), **options)


def activate(name: str):
    """A function of x and b."""
    return lambda x, b: bias_act(x, b, gain=1.3, **ACTIVATIONS[name])


def derivatives(call, *inputs: Tensor) -> list[Tensor]:
    """The value, then first and second derivatives along random directions."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = call(*inputs)
    d = given(1, y.shape).to(y).requires_grad_()
    first = torch.autograd.grad(y, inputs, d, create_graph=True)
    loss = sum((g * given(2, g.shape).to(g)).sum() for g in first)
    second = torch.autograd.grad(loss, [*inputs, d], materialize_grads=True)
    return [y.detach(), *(g.detach() for g in first), *second]


def assert_agree(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        bound = TOLERANCE[a.dtype]
        torch.testing.assert_close(
            a.double().cpu(), b.double().cpu(), rtol=bound, atol=bound * (1 + b.abs().max().item())
        )


BLUR = [1.0, 3.0, 3.0, 1.0]


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
    x = given(seed, (2, draw(2, 9), 6, 7)).double().contiguous(memory_format=layout)
    f = given(seed + 100, (draw(1, 5), draw(1, 5)))
    padding = tuple(draw(-1, 5) for _ in range(4))
    how = (draw(1, 4), draw(1, 4), padding, 1.5)
    x.requires_grad_()
    y, expected = upfirdn2d(x, f, *how), textbook(x, f, *how)
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-6)
    assert y.is_contiguous(memory_format=layout)
    d = given(5, y.shape).to(y.dtype)
    ours, theirs = (torch.autograd.grad(out, x, d)[0] for out in (y, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_blur_preserves_a_constant_removes_a_checkerboard_and_needs_its_padding():
    f = setup_filter(BLUR)
    assert f.shape == (4, 4) and f.sum() == 1
    inside = upfirdn2d(torch.full((1, 2, 8, 8), 3.0), f)
    torch.testing.assert_close(inside, torch.full((1, 2, 5, 5), 3.0))
    signs = torch.tensor([1.0, -1.0] * 4)
    board = torch.outer(signs, signs)[None, None]
    torch.testing.assert_close(upfirdn2d(board, f), torch.zeros(1, 1, 5, 5))
    with pytest.raises(BadValue, match="4 x 4 taps leaves nothing of 2 x 2"):
        upfirdn2d(torch.zeros(1, 1, 2, 2), setup_filter(BLUR))


@pytest.mark.parametrize("name", RESAMPLINGS)
def test_gradients_of_upfirdn2d_are_right_to_second_order(name):
    x = given(0, (1, 2, 5, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(resample(name), x)
    assert torch.autograd.gradgradcheck(resample(name), x)


@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("gain", [1.0, 1.7, -0.6, 0.0])
@pytest.mark.parametrize("clamp", [None, 0.9])
def test_bias_act_and_its_derivatives_are_those_of_the_unfused_steps(act, gain, clamp):
    def unfused(x, b):
        y = x + b[:, None, None]
        y = (F.leaky_relu(y, 0.3) if act == "lrelu" else y) * gain
        return y if clamp is None else y.clamp(-clamp, clamp)

    inputs = given(0, (3, 4, 5, 6)).double(), given(1, (4,)).double()
    ours = derivatives(lambda x, b: bias_act(x, b, 1, act, 0.3, gain, clamp), *inputs)
    assert_agree(ours, derivatives(unfused, *inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("clamp", [1.1, 0.7, 2.3, 0.1])
def test_a_bound_that_the_type_can_only_round_still_stops_the_gradient(dtype, clamp):
    x = torch.tensor([[-9.0, 9.0]], dtype=dtype, requires_grad=True)
    bias_act(x, act="lrelu", clamp=clamp).sum().backward()
    assert not x.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision_keeps_type_and_layout_and_differs_by_rounding_alone(dtype, layout):
    x = given(0, (2, 16, 9, 9)).to(dtype).contiguous(memory_format=layout)
    eps = torch.finfo(dtype).eps
    calls = (
        lambda x: upfirdn2d(x, setup_filter(BLUR), padding=(2, 1, 2, 1)),
        lambda x: bias_act(x, given(1, (16,)), act="lrelu", clamp=3.0),
    )
    for call in calls:
        y = call(x)
        assert y.dtype == dtype and y.stride() == x.stride()
        torch.testing.assert_close(y.float(), call(x.float()), rtol=2 * eps, atol=2 * eps)


def test_the_registered_operators_pass_every_check_of_pytorch():
    x = given(0, (2, 3, 6, 5)).contiguous(memory_format=torch.channels_last)
    first = [2, 2], [1, 1], [2, 1, 2, 1], False, 4.0
    for how in (first, ([3, 1], [1, 2], [-1, 5, 0, 3], True, 1.0)):
        arguments = (x.detach().requires_grad_(), setup_filter(BLUR), *how)
        torch.library.opcheck(torch.ops.xfer.upfirdn2d, arguments)
    b, how = given(1, (3,)).requires_grad_(), (0.2, 1.5, 1.0)
    torch.library.opcheck(torch.ops.xfer.bias_act, (x.requires_grad_(), b, 1, *how))
    y = given(3, x.shape).requires_grad_()
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


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@functools.cache
def kernels_in_use(dtype):
    """Source and name of every kernel that the calls and their derivatives would launch."""
    names = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "has_work_for_kernels", lambda x: x.numel() > 0)
        note = lambda call: names.add((call.source, call.kernel))
        patch.setattr(build, "launch_or_explain", note)
        planar = given(0, (1, 8, 6, 8)).to(dtype)
        derivatives(resample("blur"), planar)
        x = planar.contiguous(memory_format=torch.channels_last)
        for name in ("blur", "upsampling", "downsampling", "up and down", "large factors"):
            derivatives(resample(name), x)
        derivatives(activate("lrelu, clamp 1.1"), x, given(1, (8,)).to(dtype))
    return names


@pytest.mark.parametrize(("dtype", "arch"), [*((d, "sm_90") for d in DTYPES), (DTYPES[3], "sm_75")])
def test_every_kernel_compiles_to_machine_code(dtype, arch):
    pytest.importorskip("cuda.core", reason="the CUDA packages are not installed")
    for source in ("upfirdn2d.cu", "bias_act.cu"):
        names = tuple(sorted(kernel for file, kernel in kernels_in_use(dtype) if file == source))
        templates = set(re.findall(r"__global__ void (\w+)\(", build.read_source(source)))
        assert templates == {name.split("<")[0] for name in names}
        code = build.compile_kernels(source, names, arch)
        assert code.code[:4] == b"\x7fELF"
        assert all(code.symbol_mapping[name] in code.code for name in names)


def test_a_missing_package_is_named_once_and_the_reference_runs(monkeypatch):
    """Tensors count as on a GPU whose packages are absent."""
    monkeypatch.setattr(build._Failure, "reason", None)
    monkeypatch.setattr(build, "has_work_for_kernels", lambda x: build._Failure.reason is None)
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    build._loaded.cache_clear()
    x = given(0, (2, 3))
    with pytest.warns(RuntimeWarning, match=r"cuda\.core"):
        first = bias_act(x, act="lrelu", alpha=0.0, gain=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = bias_act(x, act="lrelu", alpha=0.0, gain=1.0)
    assert torch.equal(first, x.relu()) and torch.equal(second, first)


@pytest.fixture
def no_fallback(monkeypatch):
    """The warning of a failed build is an error: the reference must not stand in."""
    monkeypatch.setattr(build._Failure, "reason", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*RESAMPLINGS, *ACTIVATIONS])
def test_an_operator_on_a_gpu_agrees_with_the_reference(name, layout, dtype, no_fallback):
    call, size = (resample, (33, 18)) if name in RESAMPLINGS else (activate, (17, 10))
    x, b = given(0, (3, 16, *size)).to(dtype), given(1, (16,)).to(dtype)
    inputs = [x.contiguous(memory_format=layout), *([b] if call is activate else [])]
    ours = derivatives(call(name), *(t.cuda() for t in inputs))
    assert_agree(ours, derivatives(call(name), *(t.double() for t in inputs)))


@on_gpu
def test_a_captured_graph_replays_the_kernels(no_fallback):
    call = lambda x, b: activate("lrelu, clamp None")(resample("upsampling")(x), b)
    x, b = given(0, (1, 8, 16, 16)).cuda(), torch.ones(8, device="cuda")
    call(x, b)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x, b)
    x.copy_(given(1, x.shape))
    graph.replay()
    torch.testing.assert_close(y, call(x, b))
