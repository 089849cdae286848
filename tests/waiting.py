"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable


def wait(true: Callable, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
