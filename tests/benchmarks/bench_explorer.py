"""Latency of the explorer: from a widget that changes to the picture that shows it.

    make bench        writes results/speed/explorer.json

The shipped `small` weights (64 px) in the panel of notebook 07. The clock runs in the kernel: what
the browser adds is not in it. Sliders move one at a time with person and clip as they are; another
person or clip is computed once, so both are counted apart. The components of motion are found at
their first use, which is in none of the figures. Beside the time by the clock stands the processor
time spread over the threads: what an idle machine would take at best.
"""

import time
from itertools import zip_longest
from pathlib import Path
from statistics import median, quantiles

import pytest
import torch

from xfer.explorer import Explorer
from xfer.explorer.easel import COMPONENT
from xfer.explorer.panel import CONTROL, Panel
from xfer.reenact.studio import open_studio
from xfer.runs import environment, read_json, write_json

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "explorer.json"

pytestmark = pytest.mark.benchmark


@pytest.fixture
def panel(tmp_path, monkeypatch):
    monkeypatch.setenv("XFER_CACHE", str(tmp_path))  # nobody random was ever shown before
    return Panel(Explorer(open_studio(preset="small", device="cpu")), tmp_path)


def record(name: str, clock: list[float], processor: list[float]) -> None:
    facts = {
        "median": round(median(clock), 1),
        "ninetieth_percentile": round(quantiles(clock, n=10, method="inclusive")[-1], 1),
        "by_processor_time": round(median(processor), 1),
        "changes": len(clock),
    }
    found = read_json(RESULTS) if RESULTS.exists() else {}
    rows = found.get("milliseconds", {}) | {name: facts}
    write_json(RESULTS, {"milliseconds": rows, "threads": torch.get_num_threads()} | environment())


def pulls(panel: Panel) -> list[tuple[str, object]]:
    """Thirty changes, no two alike: each kind of slider in turn."""
    halves = lambda beginning: [
        (name, box.max * share)
        for share in (0.5, -0.5)
        for name, box in panel.inputs.items()
        if name.startswith(beginning)
    ]
    frames = [("frame", number) for number in range(3, 24, 3)]
    strengths = [("strength", tenths / 10) for tenths in range(4, 18, 2)]
    layers = [("layers", (0, last)) for last in (3, 5, 7)]
    kinds = (frames, strengths, halves(CONTROL), halves(COMPONENT), layers)
    return [one for turn in zip_longest(*kinds) for one in turn if one is not None][:30]


def timed(panel: Panel, changes: list[tuple[str, object]]) -> tuple[list[float], list[float]]:
    """Milliseconds of every change by the clock and by the processor.

    Each has to give a new picture, which a clock alone would not tell.
    """
    clock, processor = [], []
    for change in changes:
        before, spent = panel.picture.value, time.process_time()
        clock += panel.timed([change])
        processor.append(1000 * (time.process_time() - spent) / torch.get_num_threads())
        assert panel.picture.value != before and "alert" not in panel.message.value, change
    return clock, processor


def test_sliders(panel):
    panel.timed([("strength", 0.9), (f"{COMPONENT}0", 0.1)])  # the components are found now
    changes = pulls(panel)
    assert len(changes) == 30
    record("a slider", *timed(panel, changes))


@pytest.mark.parametrize(
    ("name", "widget"), [("another person", "seed"), ("another clip", "clip_seed")]
)
def test_what_is_computed_once(panel, name, widget):
    panel.timed([(widget, 100)])
    record(name, *timed(panel, [(widget, 101 + number) for number in range(10)]))
