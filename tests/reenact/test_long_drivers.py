"""A driver longer than memory: what is held does not grow with it."""

import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from moving_pictures import ramps, write_video

from xfer.media import smoothing
from xfer.media.detectors import Box, open_detector
from xfer.media.landmarks import Face
from xfer.media.tracking import Tracker
from xfer.media.video import Frame
from xfer.reenact import drivers, following
from xfer.reenact.drivers import Driver

PEAK = """
import re, sys
from xfer import cli
status = cli.main(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


def peak_mb(folder, frames):
    """Peak memory of a process that films one driver of 1.4 MB a frame."""
    shown = ramps(9, 480, 960)
    path = write_video(folder / f"{frames}.mp4", [shown[n % 9] for n in range(frames)])
    words = ["reenact", "--driver", str(path), "--identity", "random:1", "--aligned",
             "--out", str(folder / "out.mp4"), "--preset", "nano"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True
    )
    return int(re.search(r"peak (\d+)", done.stdout)[1]) / 1024


KEPT, HELD = 700, 2000
"""Bytes a frame: of the places of a face at last, and at most on the way to them."""


def test_a_face_is_followed_for_an_hour_in_less_memory_than_a_picture_takes(monkeypatch, tmp_path):
    """Of its places 50 MB are kept, and less than three times as much is held meanwhile."""
    frames, blank = 2000, np.zeros((8, 8, 3), np.uint8)
    points = (100 * np.random.default_rng(0).random((68, 2))).astype(np.float32)

    class Steady(Tracker):
        def find(self, pixels):
            return Face(points.copy(), Box(0, 0, 100, 100, 1.0), 0)

    monkeypatch.setattr(following, "Tracker", Steady)
    monkeypatch.setattr(smoothing, "BLOCK", 100)
    video = [Frame(blank, number / 25, number) for number in range(frames)]
    short, driver = (Driver(tmp_path / "in.mp4", True, reader=x) for x in (video[:200], video))
    drivers._looked_through(short, open_detector("dlib"), 0.12, False)  # what is imported once
    tracemalloc.start()
    try:
        drivers._looked_through(driver, open_detector("dlib"), 0.12, False)
        kept, most = (number / frames for number in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    print(f"{kept:.0f} bytes a frame kept, {most:.0f} held at most")
    assert len(driver.places) == frames and kept < KEPT and most < HELD


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_driver(tmp_path):
    short, long = peak_mb(tmp_path, 60), peak_mb(tmp_path, 360)
    print(f"60 frames: {short:.0f} MB; 360 frames, 410 MB of pixels more: {long:.0f} MB")
    assert long - short < 60
