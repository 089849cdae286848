"""A driver longer than memory: what is held does not grow with it."""

import re
import subprocess
import sys

import pytest
from moving_pictures import ramps, write_video

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


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_driver(tmp_path):
    short, long = peak_mb(tmp_path, 60), peak_mb(tmp_path, 360)
    print(f"60 frames: {short:.0f} MB; 360 frames, 410 MB of pixels more: {long:.0f} MB")
    assert long - short < 60
