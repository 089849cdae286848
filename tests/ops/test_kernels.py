"""The CUDA kernels: compiled everywhere, compared with the reference where there is a GPU."""

import functools
import re
import sys
import warnings

import pytest
import torch
from ops_calls import (
    ACTIVATIONS,
    DTYPES,
    LAYOUTS,
    RESAMPLINGS,
    activate,
    assert_agree,
    derivatives,
    normal,
    resample,
)

from xfer.ops import build
from xfer.ops.bias_act import bias_act

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@functools.cache
def kernels_in_use(dtype):
    """Source and name of every kernel that the calls and their derivatives would launch."""
    names = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "has_work_for_kernels", lambda x: x.numel() > 0)
        patch.setattr(
            build, "launch_or_explain", lambda call: names.add((call.source, call.kernel))
        )
        planar = normal((1, 8, 6, 8), dtype, 0)
        derivatives(resample("blur"), planar)
        x = planar.contiguous(memory_format=torch.channels_last)
        for name in ("blur", "upsampling", "downsampling", "up and down", "large factors"):
            derivatives(resample(name), x)
        derivatives(activate("lrelu, clamp 1.1"), x, normal((8,), dtype, 1))
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
    x = normal((2, 3), torch.float32, 0)
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
@pytest.mark.parametrize("name", RESAMPLINGS)
def test_upfirdn2d_on_a_gpu_agrees_with_the_reference(name, layout, dtype, no_fallback):
    x = normal((3, 16, 33, 18), dtype, 0).contiguous(memory_format=layout)
    assert_agree(derivatives(resample(name), x.cuda()), derivatives(resample(name), x.double()))


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bias_act_on_a_gpu_agrees_with_the_reference(name, layout, dtype, no_fallback):
    x = normal((3, 16, 17, 10), dtype, 0).contiguous(memory_format=layout)
    inputs = x, normal((16,), dtype, 1)
    ours = derivatives(activate(name), *(t.cuda() for t in inputs))
    assert_agree(ours, derivatives(activate(name), *(t.double() for t in inputs)))


@on_gpu
def test_a_captured_graph_replays_the_kernels(no_fallback):
    call = lambda x, b: activate("lrelu, clamp None")(resample("upsampling")(x), b)
    x, b = normal((1, 8, 16, 16), torch.float32, 0).cuda(), torch.ones(8, device="cuda")
    call(x, b)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x, b)
    x.copy_(normal(x.shape, x.dtype, 1))
    graph.replay()
    torch.testing.assert_close(y, call(x, b))
