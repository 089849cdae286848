import functools
import itertools
import re
import sys
import warnings

import pytest
import torch
from derivatives import derivatives, normal
from kernel_calls import ACTIVATING, DTYPES, activate, resample

from xfer.ops import build
from xfer.ops.bias_act import bias_act


@functools.cache
def kernels_in_use(dtype):
    """Source and name of every kernel that the calls and their derivatives would launch."""
    found = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "has_work_for_kernels", lambda x: x.numel() > 0)
        patch.setattr(
            build, "launch_or_explain", lambda call: found.add((call.source, call.kernel))
        )
        planar = normal((1, 8, 6, 8), dtype, 0)
        derivatives(resample("blur"), planar)
        x = planar.contiguous(memory_format=torch.channels_last)
        for name in ("blur", "upsampling", "downsampling", "up and down", "large factors"):
            derivatives(resample(name), x)
        for name in ACTIVATING:
            derivatives(activate(name), x, normal((8,), dtype, 1))
    return found


@pytest.mark.parametrize(
    ("dtype", "arch"),
    [*itertools.product(DTYPES, ["sm_80", "sm_90"]), (torch.bfloat16, "sm_100")],
)
def test_every_kernel_compiles_to_machine_code(dtype, arch):
    pytest.importorskip("cuda.core", reason="the CUDA packages are not installed")
    for source in ("upfirdn2d.cu", "bias_act.cu"):
        names = tuple(sorted(kernel for file, kernel in kernels_in_use(dtype) if file == source))
        templates = set(re.findall(r"void (\w+)\(", build.read_source(source)))
        templates &= set(re.findall(r"__global__ void (\w+)\(", build.read_source(source)))
        assert templates == {name.split("<")[0] for name in names}
        code = build.compile_kernels(source, names, arch)
        assert code.code[:4] == b"\x7fELF"
        assert all(code.symbol_mapping[name] in code.code for name in names)


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Tensors count as on a GPU that cannot be used; nothing has failed yet."""
    monkeypatch.setattr(build._Failure, "reason", None)
    monkeypatch.setattr(
        build, "has_work_for_kernels", lambda x: x.numel() > 0 and build._Failure.reason is None
    )
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def test_a_failed_build_says_why_once_and_the_reference_runs(pretend_gpu, monkeypatch):
    def refuse(*_):
        raise RuntimeError("this source is refused")

    monkeypatch.setattr(build, "_loaded", refuse)
    x = normal((2, 3), torch.float32, 0)
    with pytest.warns(RuntimeWarning, match=r"this source is refused.*pip install 'xfer\[cuda\]'"):
        first = bias_act(x, act="tanh")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = bias_act(x, act="tanh")
    torch.testing.assert_close(first, torch.tanh(x))
    torch.testing.assert_close(second, torch.tanh(x))


def test_a_launch_reaches_the_current_stream_with_one_thread_for_each_pack(
    pretend_gpu, monkeypatch
):
    core = pytest.importorskip("cuda.core", reason="the CUDA packages are not installed")
    calls = []
    monkeypatch.setattr(core, "launch", lambda *call: calls.append(call))
    monkeypatch.setattr(build, "_loaded", lambda *_: "kernel")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "stream")
    x = torch.zeros(5, 4 * build.THREADS)
    bias_act(x, act="tanh", gain=2.0)
    ((stream, config, kernel, *arguments),) = calls
    assert (stream, kernel, arguments[0], arguments[1]) == ("stream", "kernel", x.data_ptr(), 0)
    assert (config.grid, config.block) == ((5, 1, 1), (build.THREADS, 1, 1))
    assert {type(number) for number in arguments} == {int, float}


def test_a_missing_package_is_named(pretend_gpu, monkeypatch):
    build._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.warns(RuntimeWarning, match=r"cuda\.core.*cuda-bindings"):
        bias_act(torch.zeros(2, 3), act="tanh")


def test_a_mistake_in_a_source_is_reported_with_the_compilers_words():
    pytest.importorskip("cuda.core", reason="the CUDA packages are not installed")
    with pytest.raises(Exception, match="no_such_kernel"):
        build.compile_kernels("bias_act.cu", ("no_such_kernel<float>",), "sm_80")
