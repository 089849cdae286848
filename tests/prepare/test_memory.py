"""An hour of clips goes through one process without leaving anything behind."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from moving_pictures import moving_face, write_video

from xfer.prepare.clip import prepare_clip
from xfer.prepare.records import Settings
from xfer.prepare.sources import Input

DATA = Path(__file__).parents[1] / "data" / "align" / "landmarks.json"
FRAMES = 100


def grown_mb(folder, job, settings, clips):
    """Memory that `clips` more clips leave behind after the first three."""
    part, process = folder / "part", psutil.Process()
    for _ in range(3):
        prepare_clip(job, settings, part, lambda _: None)
    before = process.memory_info().rss
    for _ in range(clips):
        prepare_clip(job, settings, part, lambda _: None)
    return (process.memory_info().rss - before) / 2**20


@pytest.mark.parametrize(
    "clips", [3, pytest.param(900, marks=pytest.mark.long)], ids=["a_few", "an_hour"]
)
def test_memory_stays_flat_over_many_clips(tmp_path, clips):
    video = tmp_path / "clip_00000.mp4"
    write_video(video, moving_face(FRAMES, 256, step=0), pixel_format="yuv420p")
    landmarks = np.array(json.loads(DATA.read_text())["astronaut"], np.float32) - [60, 0]
    table = {
        "clip": "clip_00000",
        "frame": range(FRAMES),
        "landmarks": [landmarks.ravel()] * FRAMES,
    }
    pd.DataFrame(table).to_parquet(tmp_path / "frames.parquet")
    job = Input(0, str(video), "world", "a", "a")
    grown = grown_mb(tmp_path, job, Settings(size=32, landmarks="truth"), clips)
    print(f"{clips * FRAMES} frames: {grown:.1f} MB more")
    assert grown < 50


@pytest.mark.long
def test_memory_stays_flat_where_faces_are_searched(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving_face(25, 192, step=0), pixel_format="yuv420p")
    job = Input(0, str(video), "video", "a", "a")
    grown = grown_mb(tmp_path, job, Settings(size=32, landmarks="dlib"), 60)
    print(f"1500 frames with dlib: {grown:.1f} MB more")
    assert grown < 50
