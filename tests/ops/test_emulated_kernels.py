"""The kernels' own code, interpreted instruction by instruction, against the reference.

What runs is the PTX that NVRTC makes of the sources, through the same launches as on a GPU: thread
and tap arithmetic, vector accesses, rounding, and the host's choice of kernel and arguments.
"""

import pytest
import torch
from derivatives import TOLERANCE, assert_agree, derivatives, normal
from kernel_calls import ACTIVATING, DTYPES, LAYOUTS, RESAMPLINGS, activate, resample

from xfer.ops import build
from xfer.ops.activations import Settings
from xfer.ops.launches import bias_act_launch
from xfer.ops.upfirdn2d import setup_filter, upfirdn2d

pytest.importorskip("cuda.bindings.nvrtc", reason="the CUDA packages are not installed")
import ptx_emulator


@pytest.fixture
def launches(monkeypatch):
    """Every kernel runs in the emulator for the length of a test; yields the launches."""
    made = []
    monkeypatch.setattr(build, "has_work_for_kernels", lambda x: x.numel() > 0)
    monkeypatch.setattr(
        build,
        "launch_or_explain",
        lambda launch: made.append(launch) or ptx_emulator.emulate(launch),
    )
    return made


def both_ways(call, launches, *inputs):
    """Derivatives by the kernels, and by the reference in double precision."""
    mine = derivatives(call, *inputs)
    assert launches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "has_work_for_kernels", lambda x: False)
        theirs = derivatives(call, *(x.double() for x in inputs))
    return mine, theirs


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", RESAMPLINGS)
def test_upfirdn2d_kernels_agree_with_the_reference(name, layout, launches):
    x = normal((2, 4, 7, 9), torch.float32, 0).contiguous(memory_format=layout)
    assert_agree(*both_ways(resample(name), launches, x))


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("name", ["upsampling", "large factors"])
def test_upfirdn2d_kernels_read_and_write_every_type(name, dtype, launches):
    x = normal((1, 8, 6, 5), dtype, 0).contiguous(memory_format=torch.channels_last)
    mine, theirs = both_ways(resample(name), launches, x)
    assert mine[0].dtype == dtype
    assert_agree(mine, theirs)


@pytest.mark.parametrize("name", ACTIVATING)
def test_bias_act_kernels_agree_with_the_reference(name, launches):
    x = normal((2, 3, 4, 6), torch.float32, 0).contiguous(memory_format=torch.channels_last)
    assert_agree(*both_ways(activate(name), launches, 2 * x, normal((3,), torch.float32, 1)))


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("name", ["lrelu, clamp 1.1", "swish, clamp None", "elu, clamp None"])
def test_bias_act_kernels_read_and_write_every_type(name, dtype, launches):
    inputs = normal((3, 5, 2, 4), dtype, 0), normal((5,), dtype, 1)
    mine, theirs = both_ways(activate(name), launches, *inputs)
    assert mine[0].dtype == dtype
    assert_agree(mine, theirs)


def test_the_common_layouts_take_the_packed_strip_kernel_and_the_rest_falls_back(launches):
    f = setup_filter([1, 3, 3, 1])
    channels_last = torch.zeros(1, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    unaligned = torch.zeros(8 * 25 + 1)[1:].view(1, 5, 5, 8).permute(0, 3, 1, 2)
    for x in (channels_last, unaligned, torch.zeros(1, 8, 5, 5), torch.zeros(0, 8, 5, 5)):
        upfirdn2d(x, f, padding=1)
    upfirdn2d(channels_last, f, up=3, padding=3)
    kernels = [launch.kernel for launch in launches]
    strip = "upfirdn2d_strip<float, 1, 1, 1, 1, 4, 4, 0, 0, {}>"
    assert kernels == [strip.format(4), strip.format(1), strip.format(1), "upfirdn2d_any<float>"]


def test_a_gpu_without_bfloat16_rounds_by_hand_to_the_same_numbers():
    x = torch.cat([normal((62,), torch.bfloat16, 0), torch.tensor([torch.nan, 3e38]).bfloat16()])
    results = [torch.empty_like(x) for _ in range(2)]
    for y, arch in zip(results, ("compute_75", "compute_80"), strict=True):
        how = Settings(0, "lrelu", 0.3, 1.7, None)
        ptx_emulator.emulate(bias_act_launch(x, None, y, how), arch)
    torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)
    expected = (torch.nn.functional.leaky_relu(x.double(), 0.3) * 1.7).bfloat16()
    torch.testing.assert_close(
        results[0], expected, rtol=TOLERANCE[x.dtype], atol=0, equal_nan=True
    )


FAULTS = {
    "a tap beside the right one": ("return r * U - j * D + P", "return r * U - j * D"),
    "a strip one row too low": ("DY - int(quot_y)", "DY - int(quot_y) + 1"),
    "a row too many": ("row < h &&", "row <= h &&"),
    "a column too many": ("col < w)", "col <= w)"),
    "a short reach": ("+ taps - 1 - P) / U + 1", "+ taps - 1 - P) / U"),
    "the filter not turned around": ("flip ? k : FY * FX - 1 - k", "k"),
    "strips of another height": ("strip * ROWS + j", "strip * 3 + j"),
    "a store without a check": ("row >= out_h || col", "col"),
    "planes confused": ("y += outer * out_h", "y += outer * h"),
    "packs confused": ("inner + pack * VEC;\n    y", "inner + pack;\n    y"),
    "no gain": ("* R(gain);", ";"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_arithmetic_does_not_stay_hidden(fault, launches, monkeypatch):
    right, wrong = FAULTS[fault]
    source = build.read_source("upfirdn2d.cu")
    assert right in source
    monkeypatch.setattr(ptx_emulator, "read_source", lambda name: source.replace(right, wrong))
    ptx_emulator.assemble.cache_clear()
    x = normal((2, 8, 6, 7), torch.float32, 0).contiguous(memory_format=torch.channels_last)
    try:
        with pytest.raises(AssertionError):
            assert_agree(*both_ways(resample("upsampling in the other phase"), launches, x))
    finally:
        ptx_emulator.assemble.cache_clear()
