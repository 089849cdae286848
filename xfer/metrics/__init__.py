"""The table of metrics: a decorated function is all that a new one takes.

    @metric("psnr", better="higher", unit="dB")
    def psnr(output: Images, truth: Images) -> Values: ...

An evaluation calls every metric whose arguments it has, by their names, with the frames of one
trial as rows; names that several metrics share mean the same everywhere (see `reconstruction`).
A metric gives a value for each frame, or one for the whole video.
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

METRICS: dict[str, "Metric"] = {}


class Metric(NamedTuple):
    """A metric with its direction and unit."""

    name: str
    function: Callable[..., np.ndarray | float]
    better: Literal["higher", "lower"]
    unit: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the arguments without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)


def metric(name: str, better: Literal["higher", "lower"], unit: str = "") -> Callable:
    """Register a function that gives a value for each row of its arguments, or one for all."""

    def register(function: Callable) -> Callable:
        METRICS[name] = Metric(name, function, better, unit)
        return function

    return register


def measure(**arguments: Any) -> dict[str, np.ndarray | float]:
    """Values of every registered metric whose arguments are there, by the metric's name."""
    ready = (m for m in METRICS.values() if set(m.needs) <= arguments.keys())
    return {m.name: m.function(**{name: arguments[name] for name in m.needs}) for m in ready}
