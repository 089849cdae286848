"""Shapes are checked in tests: jaxtyping's hook wraps every function of the package in beartype."""

from jaxtyping import install_import_hook

install_import_hook("xfer", "shape_checker.check")
