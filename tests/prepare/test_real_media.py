"""Videos and portraits of real people, where they lie beside the repository."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xfer.datasets.clips import Clips
from xfer.media.detectors import Dlib
from xfer.media.smoothing import jitter, smooth
from xfer.media.tracking import Tracker
from xfer.media.video import VideoReader
from xfer.prepare.records import Settings
from xfer.prepare.run import prepare
from xfer.prepare.shards import read_manifest

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"

pytestmark = pytest.mark.skipif(not MEDIA.exists(), reason="no real videos beside the repository")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "set"
    prepare([MEDIA], out, Settings(128, landmarks="dlib", most_frames=12))
    return out


def test_people_are_found_and_animals_are_not(prepared):
    lines = read_manifest(prepared)
    good = {line["clip"].split("/")[1] for line in lines if line["status"] == "good"}
    assert good >= {"d10", "d12", "d18", "s29", "s12", "s3"}
    bad = {line["clip"].split("/")[1]: line["reason"] for line in lines if line["status"] == "bad"}
    assert set(bad) >= {"s22", "s30", "s36"}
    assert all("no face" in reason for reason in bad.values())


def test_every_frame_of_a_talking_head_is_kept_and_well_placed(prepared):
    index = pd.read_parquet(prepared / "index.parquet")
    for clip in ("d10", "d12", "d18", "s29"):
        assert (index["clip"] == f"media/{clip}").sum() == 12
    clips = Clips(prepared)
    eyes = clips.landmarks(range(len(clips)))[:, 36:48].mean(1)
    assert np.abs(eyes.numpy() - [0, -0.09]).max() < 0.12


def test_smoothing_takes_most_of_the_jitter_away():
    tracker = Tracker(Dlib())
    frames = [frame for frame, _ in zip(VideoReader(MEDIA / "d18.mp4"), range(40), strict=False)]
    points = np.stack([tracker.find(frame.pixels).points for frame in frames])
    times = np.array([frame.time for frame in frames])
    smoothed = smooth(points, times, np.zeros(40, np.int64), 0.12)
    assert jitter(smoothed) < 0.25 * jitter(points)
