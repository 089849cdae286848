"""Running out of memory, of which every library tells in its own way, as one error that helps."""

import contextlib
from collections.abc import Iterator

import torch

from xfer.errors import RunError

SAYINGS = ("allocate memory", "out of memory", "not enough memory", "ALLOC_FAILED")
"""Of processors, of GPUs and of the libraries on them, where the kind of an error does not tell."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether this is what an error means, or what it was raised from."""
    if error is None:
        return False
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):  # the first is NumPy's, too
        return True
    said = isinstance(error, (RuntimeError, OSError)) and any(s in str(error) for s in SAYINGS)
    return said or is_out_of_memory(error.__cause__)


@contextlib.contextmanager
def memory_told(advice: str) -> Iterator[None]:
    """Running out of memory within as `RunError`.

    Args:
        advice: Where it happened and what to lower; the message goes on with it.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(f"out of memory {advice}") from error
