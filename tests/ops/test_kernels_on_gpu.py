"""The kernels on a real GPU against the reference: value, first and second derivative."""

import warnings

import pytest
import torch
from derivatives import assert_agree, derivatives, normal
from kernel_calls import ACTIVATING, DTYPES, LAYOUTS, RESAMPLINGS, activate, resample

from xfer.ops import build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    """The warning of a failed build is an error here: the reference must not stand in."""
    monkeypatch.setattr(build._Failure, "reason", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", RESAMPLINGS)
def test_upfirdn2d_agrees_with_the_reference(name, layout, dtype):
    x = normal((3, 16, 33, 18), dtype, 0).contiguous(memory_format=layout)
    assert_agree(derivatives(resample(name), x.cuda()), derivatives(resample(name), x.double()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ACTIVATING)
def test_bias_act_agrees_with_the_reference(name, layout, dtype):
    x = normal((3, 16, 17, 10), dtype, 0).contiguous(memory_format=layout)
    inputs = x, normal((16,), dtype, 1)
    mine = derivatives(activate(name), *(t.cuda() for t in inputs))
    assert_agree(mine, derivatives(activate(name), *(t.double() for t in inputs)))


def test_a_captured_graph_replays_the_kernels():
    call = lambda x, b: activate("lrelu, clamp None")(resample("upsampling")(x), b)
    x, b = normal((1, 8, 16, 16), torch.float32, 0).cuda(), torch.ones(8, device="cuda")
    call(x, b)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x, b)
    x.copy_(normal(x.shape, x.dtype, 1))
    graph.replay()
    torch.testing.assert_close(y, call(x, b))
