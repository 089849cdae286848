"""Shapes are checked in tests: jaxtyping's hook wraps every function of the package in beartype."""

import os

import pytest
from jaxtyping import install_import_hook

import xfer  # noqa: F401  before torch, which reads what this sets


def pytest_configure(config: pytest.Config) -> None:
    """Install the hook before anything of the package is imported; benchmarks measure without."""
    if config.getoption("markexpr") != "benchmark":
        install_import_hook("xfer", "shape_checker.check")
    if config.getoption("markexpr") not in ("benchmark", "browser"):
        # Networks in tests are so small that two threads take twice as long as one.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def needs():
    """Fetches files by the beginnings of their names, or skips the test if they cannot be had."""
    from xfer.assets import ASSETS, fetch
    from xfer.errors import XferError

    def fetched(*names: str) -> None:
        try:
            fetch([name for name in ASSETS if name.startswith(names)])
        except XferError as error:
            pytest.skip(str(error))

    return fetched
