"""An hour of clips goes through one child process without leaving anything behind."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from moving_pictures import moving_face, write_video

from xfer.prepare.records import Settings
from xfer.prepare.sources import Input

DATA = Path(__file__).parents[1] / "data" / "align" / "landmarks.json"
FRAMES, WARM = 100, 20
TRUTH = Settings(size=32, landmarks="truth")


class Worker:
    """The child process of a preparation, as the pool starts it."""

    def __init__(self, part):
        command = [sys.executable, "-m", "xfer.prepare.worker", "2000"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.part = part

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    def prepare(self, job, settings):
        """The record of one clip."""
        work = {"input": asdict(job), "settings": asdict(settings), "part": str(self.part)}
        self.process.stdin.write(json.dumps(work) + "\n")
        self.process.stdin.flush()
        while "record" not in (answer := json.loads(self.process.stdout.readline())):
            pass
        return answer["record"]

    @property
    def megabytes(self):
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def measured(folder, jobs, settings):
    """Megabytes of the worker after it has warmed up, and the most and the last after that."""
    with Worker(folder / "part") as worker:
        sizes = []
        for job in jobs:
            assert worker.prepare(job, settings)["status"] == "good"
            sizes.append(worker.megabytes)
    warm = min(WARM, len(sizes) // 2)
    return {"warm_mb": sizes[warm - 1], "most_mb": max(sizes[warm:]), "last_mb": sizes[-1]}


def world_clips(folder, count):
    """Clips of one folder with one table, as the face world writes them; all show the same."""
    first = folder / "clip_00000.mp4"
    write_video(first, moving_face(FRAMES, 256, step=0), pixel_format="yuv420p")
    for number in range(1, count):
        os.link(first, folder / f"clip_{number:05d}.mp4")
    landmarks = np.array(json.loads(DATA.read_text())["astronaut"], np.float32) - [60, 0]
    clips = [f"clip_{number:05d}" for number in range(count)]
    table = {
        "clip": np.repeat(clips, FRAMES),
        "frame": np.tile(range(FRAMES), count),
        "landmarks": [landmarks.ravel()] * (FRAMES * count),
    }
    pd.DataFrame(table).to_parquet(folder / "frames.parquet")
    return [Input(n, str(folder / f"{c}.mp4"), "world", c, c) for n, c in enumerate(clips)]


@pytest.mark.parametrize(
    "clips", [6, pytest.param(900, marks=pytest.mark.long)], ids=["a_few", "an_hour"]
)
def test_memory_stays_flat_over_many_clips(tmp_path, clips):
    sizes = measured(tmp_path, world_clips(tmp_path, clips), TRUTH)
    print(json.dumps({"frames": clips * FRAMES} | sizes))
    assert sizes["most_mb"] - sizes["warm_mb"] < 50


@pytest.mark.long
def test_memory_stays_flat_where_faces_are_searched(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving_face(25, 192, step=0), pixel_format="yuv420p")
    job = Input(0, str(video), "video", "a", "a")
    sizes = measured(tmp_path, [job] * 60, Settings(size=32, landmarks="dlib"))
    print(json.dumps({"frames": 1500} | sizes))
    assert sizes["most_mb"] - sizes["warm_mb"] < 50
