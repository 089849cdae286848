"""How fast methods draw on this machine: frames a second of their networks alone."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from xfer.axes import Image
from xfer.baselines import (
    Driver,
    Inverted,
    LatentDifference,
    Method,
    Transferred,
    copy_identity,
)
from xfer.evaluate.trials import Trials
from xfer.model import Transfer
from xfer.rival import StyleSwap, swapped_pictures
from xfer.runs import environment

SECONDS, FEWEST = 0.4, 5
"""A method is timed for so long, and at least so often."""


@torch.no_grad()
def speed(
    methods: Mapping[str, Method], trials: Trials, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Frames a second by method, one picture at a time, and on what they were measured.

    The identity is known beforehand, as in a film: only what every frame needs anew is timed.
    Copies need nothing and are left out.
    """
    one = trials.index([0])
    driver = Driver(*(None if x is None else x.to(device) for x in one.driver))
    rates = {}
    for name, method in methods.items():
        frame = per_frame(method, driver, one.identity.to(device))
        if frame is not None:
            rates[name] = round(1 / _seconds(frame, driver.picture), 2)
    return {
        "frames_a_second": rates,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "processor": environment()["machine"]["processor"],
    }


def per_frame(method: Method, driver: Driver, identity: Image) -> Callable[[Image], Image] | None:
    """What a method does for every frame of a film."""
    match method:
        case Transferred(model):
            known = model.identify(identity)
            if isinstance(model, Transfer):
                known = model.person(known)
            return lambda picture: model.transfer(picture, known)
        case LatentDifference(model, strength):
            known = model.identify(identity) - strength * model.identify(driver.reference)
            return lambda x: model.generator.synthesis(known + strength * model.identify(x))
        case Inverted(model, of) if of is not copy_identity:
            return lambda picture: model.generator.synthesis(model.identify(picture))
        case StyleSwap(mask, generator, encoder):
            known = encoder.invert(identity, generator)
            return lambda x: swapped_pictures(mask, generator, known, encoder.invert(x, generator))
    return None


def _seconds(frame: Callable[[Image], Image], picture: Image) -> float:
    """Median of some calls after two that warm up; fetching the result waits for the device."""
    for _ in range(2):
        frame(picture).cpu()
    taken: list[float] = []
    while len(taken) < FEWEST or sum(taken) < SECONDS:
        begin = time.perf_counter()
        frame(picture).cpu()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
