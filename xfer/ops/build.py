"""Compile and launch our CUDA kernels: NVRTC, driven by NVIDIA's cuda-core package.

The sources in `csrc` are compiled for the GPU at hand when a kernel is first needed, which takes a
tenth of a second and neither a toolkit nor a host compiler. Where that fails, a warning says why,
once, and the caller goes on with its PyTorch reference.
"""

import functools
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

SOURCES = Path(__file__).parent / "csrc"
THREADS = 256
"""Threads in a block."""
TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.float16: "Half",
    torch.bfloat16: "BFloat",
}
"""The kernels' names of the types that they know."""


class Launch(NamedTuple):
    """One call of a kernel, which takes pointers, then each int as long long or float as double."""

    source: str  # file in `csrc`
    kernel: str  # the template's instance, as C++ writes it
    threads: int  # how many have work; the last block may have more
    tensors: tuple[Tensor | None, ...]  # inputs and output; None is a null pointer
    numbers: tuple[int | float, ...]


class _Failure:
    """Why kernels cannot be used, once something has shown that."""

    reason: str | None = None


def has_work_for_kernels(x: Tensor) -> bool:
    return x.is_cuda and x.numel() > 0 and _Failure.reason is None


def launch_or_explain(launch: Launch) -> bool:
    """Launch on the current stream of the tensors' GPU; False if the kernel cannot be built."""
    with torch.cuda.device(launch.tensors[0].device):
        try:
            kernel = _loaded(launch.source, launch.kernel, torch.cuda.current_device())
        except Exception as error:  # a missing package, library or driver, or a refused source
            _Failure.reason = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"xfer's CUDA kernels cannot be built ({_Failure.reason}), so the slower PyTorch "
                "reference runs instead; they need pip install 'xfer[cuda]' and a driver at least "
                "as new as its packages",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        from cuda.core import LaunchConfig
        from cuda.core import launch as start

        config = LaunchConfig(grid=-(-launch.threads // THREADS), block=THREADS)
        pointers = (0 if t is None else t.data_ptr() for t in launch.tensors)
        start(torch.cuda.current_stream(), config, kernel, *pointers, *launch.numbers)
    return True


def vector_length(run: int, *tensors: Tensor) -> int:
    """Elements in 16 bytes, if runs of that length divide and are aligned; otherwise one."""
    vec = 16 // tensors[0].element_size()
    aligned = all(t.data_ptr() % 16 == 0 for t in tensors)
    return vec if run % vec == 0 and aligned else 1


def compile_kernels(source: str, kernels: tuple[str, ...], arch: str):
    """The object code (`cuda.core.ObjectCode`) of some instances of a source file's templates.

    Args:
        arch: Such as "sm_90".
    """
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(name=source, arch=arch, std="c++17")
    return Program(read_source(source), "c++", options).compile("cubin", name_expressions=kernels)


@functools.cache
def read_source(name: str) -> str:
    """A source file with its own headers put in place, so that no search path is needed."""
    lines = (SOURCES / name).read_text().splitlines()
    return "\n".join(
        read_source(line.split('"')[1]) if line.startswith('#include "') else line for line in lines
    )


@functools.cache
def _loaded(source: str, kernel: str, device: int):
    """A kernel ready to launch; failures are not cached, the caller remembers them."""
    from cuda.core import Device

    Device(device).set_current()
    major, minor = torch.cuda.get_device_capability(device)
    return _compiled(source, kernel, f"sm_{major}{minor}").get_kernel(kernel)


@functools.cache
def _compiled(source: str, kernel: str, arch: str):
    """Kept alive for as long as its kernel may run."""
    return compile_kernels(source, (kernel,), arch)
