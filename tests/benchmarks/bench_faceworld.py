"""Speed of the face world: frames a second in batches of eight, and how long the start takes.

    make bench        writes results/speed/faceworld.json

`wild` people with yaw within 35 degrees, whole pictures and aligned ones. Beside the rate by the
clock stands the rate by processor time spread over this machine's cores: what an idle machine
would reach at best.
"""

import os
import time
from pathlib import Path

import pytest
import torch

from xfer.faceworld import keeping, native
from xfer.faceworld.factors import draw_factors
from xfer.faceworld.kernels import kernels
from xfer.faceworld.render import render
from xfer.runs import environment, read_json, write_json

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "faceworld.json"
BATCH = 8

pytestmark = pytest.mark.benchmark


def record(**facts):
    found = read_json(RESULTS) if RESULTS.exists() else {}
    kept = {key: value for key, value in found.items() if isinstance(value, dict)}
    write_json(RESULTS, kept | facts | environment())


def processor_seconds():
    times = os.times()
    return times.user + times.system


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("aligned", [False, True], ids=["whole", "aligned"])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_frames_a_second(size, aligned, compiled):
    if compiled and native.compiler() is None:
        pytest.skip("no C++ compiler here")
    factors = draw_factors(BATCH, 77, yaw_deg=35, pitch_deg=15, roll_deg=12)
    clock, processor = [], []
    for _ in range(8 if compiled else 4):
        begin, spent = time.perf_counter(), processor_seconds()
        render(*factors.groups, size, aligned=aligned, compiled=compiled)
        clock.append(time.perf_counter() - begin)
        processor.append((processor_seconds() - spent) / torch.get_num_threads())
    name = f"{'compiled' if compiled else 'plain'}_{size}_px_{'aligned' if aligned else 'whole'}"
    rates = {
        "frames_a_second": round(BATCH / min(clock[1:]), 1),
        "by_processor_time": round(BATCH / max(min(processor[1:]), 1e-3), 1),
        "threads": torch.get_num_threads(),
    }
    record(**{name: rates})


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
def test_start_up(tmp_path, monkeypatch, compiled):
    if compiled and native.compiler() is None:
        pytest.skip("no C++ compiler here")
    factors = draw_factors(1, 1)
    seconds = {}
    monkeypatch.setattr(keeping.pooch, "os_cache", lambda _: tmp_path)
    for name in ("first_ever", "from_the_cache"):
        kernels.cache_clear()
        begin = time.perf_counter()
        render(*factors.groups, 64, compiled=compiled)
        seconds[name] = round(time.perf_counter() - begin, 2)
    kernels.cache_clear()
    record(**{f"{'compiled' if compiled else 'plain'}_start_up_seconds": seconds})
