"""A disk that is full, for a while."""

import contextlib
import signal

import pytest

resource = pytest.importorskip("resource", reason="the system has no limits on file sizes")


@contextlib.contextmanager
def room_for(most):
    """The system refuses every byte of a file beyond so many."""
    ends = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The write then fails instead of the process.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, ends[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, ends)
        signal.signal(signal.SIGXFSZ, handler)
