"""Shapes are checked in tests: jaxtyping's hook wraps every function of the package in beartype."""

import pytest
from jaxtyping import install_import_hook


def pytest_configure(config: pytest.Config) -> None:
    """Install the hook before anything of the package is imported; benchmarks measure without."""
    if config.getoption("markexpr") != "benchmark":
        install_import_hook("xfer", "shape_checker.check")
