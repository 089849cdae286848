"""The preparation that test_faults kills: `python kill_preparation.py SOURCE OUT`."""

import sys

from xfer.prepare.records import Settings
from xfer.prepare.run import prepare

if __name__ == "__main__":
    settings = Settings(size=32, landmarks="dlib", fps=10.0)
    print(prepare([sys.argv[1]], sys.argv[2], settings, workers=2, clips_per_shard=2))
