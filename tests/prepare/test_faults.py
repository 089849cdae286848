"""Preparation under fire: kills at random moments, broken inputs by the hundred, limits."""

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from moving_pictures import flip_bits, moving_face, ramps, write_video
from PIL import Image
from skimage.data import astronaut

from xfer.prepare import pool
from xfer.prepare.pool import Limits, Pool, Task
from xfer.prepare.records import Settings
from xfer.prepare.run import prepare
from xfer.prepare.shards import read_manifest
from xfer.prepare.sources import Input

DRIVER = Path(__file__).with_name("kill_preparation.py")
ROOT = Path(__file__).parents[2]


def start(source, out):
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(source), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def results(out):
    files = [out / "index.parquet", out / "manifest.jsonl", *sorted((out / "shards").iterdir())]
    return {path.name: path.read_bytes() for path in files}


def clips(folder, count=4):
    folder.mkdir()
    for number in range(count):
        write_video(folder / f"{number}.mp4", moving_face(5, step=number), fps=10)
    (folder / "bad.mp4").write_bytes(b"nothing")
    return folder


def kill_until_done(source, out, rng, most, whole):
    """Start, kill at a random moment, start again; how often it was killed before it was done.

    `whole` is the time that an undisturbed run takes, in seconds.
    """
    for kills in range(most + 1):
        process = start(source, out)
        # The last run may take its time; the whole group or only the parent dies in the others.
        try:
            process.wait(None if kills == most else rng.uniform(0.05, 1.1) * whole)
        except subprocess.TimeoutExpired:
            if rng.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
        else:
            assert process.returncode == 0
            return kills
    return most


@pytest.mark.parametrize(
    "kills, most", [(1, 1), pytest.param(100, 6, marks=pytest.mark.long)], ids=["one", "hundred"]
)
def test_a_killed_preparation_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, kills, most):
    source, rng, begin = clips(tmp_path / "in"), random.Random(0), time.monotonic()
    assert start(source, tmp_path / "whole").wait() == 0
    whole = time.monotonic() - begin
    expected = results(tmp_path / "whole")
    done = rounds = 0
    while done < kills:
        out = tmp_path / f"killed{rounds}"
        done += kill_until_done(source, out, rng, min(most, kills - done), whole)
        rounds += 1
        assert results(out) == expected
        assert not list(out.rglob(".*.part")) and not (out / "work").exists()
    print(f"{done} kills in {rounds} preparations, all of them equal to the undisturbed one")


def broken_pictures(count, rng):
    """Truncated, flipped, foreign, tiny, huge; every one a file with the name of a picture."""
    good = {}
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        file = io.BytesIO()
        Image.fromarray(astronaut()[:256, 100:356]).save(file, kind)
        good[kind] = file.getvalue()
    header = bytearray(good["PNG"])
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    tiny = io.BytesIO()
    Image.new("RGB", (1, 1)).save(tiny, "PNG")
    for number in range(count):
        data = list(good.values())[number % len(good)]
        yield [
            data[: int(rng.integers(0, len(data)))],
            flip_bits(data, int(rng.integers(1, 100)), rng),
            rng.bytes(int(rng.integers(0, 5000))),
            bytes(header),
            tiny.getvalue(),
            b"",
        ][number % 6 if number % 12 >= 6 else number % 2]


def broken_videos(count, rng, folder):
    """Damage of every kind to good videos, and files that are none."""
    plain = write_video(folder / "plain.mp4", moving_face(8), fps=10, sound_seconds=0.5)
    make = {
        "tenbit.mp4": {"pixel_format": "yuv420p10le"},
        "turned.mp4": {"rotation": 90},
        "vfr.mp4": {"times": [0, 0.1, 0.15, 0.7, 0.71, 0.72, 1.9, 2]},
    }
    goods = [plain.read_bytes()]
    for name, options in make.items():
        goods.append(write_video(folder / name, moving_face(8), fps=10, **options).read_bytes())
    sound = write_video(folder / "sound.m4a", [], sound_seconds=0.5).read_bytes()
    blank = write_video(folder / "blank.mp4", ramps(6), fps=10).read_bytes()
    dot = write_video(folder / "dot.mkv", [np.zeros((1, 1, 3), np.uint8)] * 3).read_bytes()
    four, empty = moving_face(1)[0], np.zeros((512, 512, 3), np.uint8)
    leaves = write_video(folder / "leaves.mp4", [*moving_face(5, 256), *[empty[:256, :256]] * 6,
                                                 *moving_face(5, 256)], fps=10)  # fmt: skip
    many = [np.ascontiguousarray(np.tile(four[:200, :200], (2, 5, 1)))] * 6
    ten = write_video(folder / "ten.mp4", many, fps=10).read_bytes()
    others = [sound, blank, dot, leaves.read_bytes(), ten, b"", rng.bytes(3000)]
    for number in range(count):
        data = goods[number % len(goods)]
        yield [
            data[: int(rng.integers(0, len(data)))],
            flip_bits(data, int(rng.integers(1, 200)), rng),
            others[(number // 4) % len(others)],
            data,
        ][number % 4]


class Watch(threading.Thread):
    """The most memory that this process and its children hold at once, in MB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.going = 0, True

    def run(self):
        me = psutil.Process()
        before = me.memory_info().rss
        while self.going:
            total = me.memory_info().rss - before
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total >> 20)
            time.sleep(0.05)

    def __exit__(self, *_):
        self.going = False
        self.join()

    def __enter__(self):
        self.start()
        return self


@pytest.mark.parametrize(
    "images, videos",
    [(12, 8), pytest.param(240, 120, marks=pytest.mark.long)],
    ids=["few", "hundreds"],
)
def test_broken_inputs_never_stop_it_and_get_one_line_each(tmp_path, images, videos):
    rng, source = np.random.default_rng(0), tmp_path / "in"
    source.mkdir()
    (tmp_path / "parts").mkdir()
    for number, data in enumerate(broken_pictures(images, rng)):
        (source / f"p{number}x.jpg").write_bytes(data)
    for number, data in enumerate(broken_videos(videos, rng, tmp_path / "parts")):
        (source / f"v{number}x.mp4").write_bytes(data)
    settings = Settings(size=32, landmarks="dlib", fps=10.0)
    with Watch() as watch:
        summary = prepare([source], tmp_path / "out", settings, workers=2)
    lines = read_manifest(tmp_path / "out")
    assert len(lines) == images + videos == summary.good + summary.bad
    assert all(line["reason"] for line in lines if line["status"] == "bad")
    assert all("Error:" not in line["reason"] for line in lines), "an unforeseen kind of damage"
    assert summary.good > 0 and summary.bad > 0
    assert watch.peak < 2000
    print(f"{summary}; at most {watch.peak} MB")


def jobs(folder, *names):
    paths = [folder / name for name in names]
    return [
        Task(Input(number, str(path), "video", path.stem, path.stem), folder / f"part{number}")
        for number, path in enumerate(paths)
    ]


@pytest.fixture
def hostile_worker(tmp_path, monkeypatch):
    """A child that crashes, hangs or eats memory where the input's name says so."""
    (tmp_path / "hostile.py").write_text(
        "import json, os, sys, time\n"
        "for line in sys.stdin:\n"
        "    path = json.loads(line)['input']['path']\n"
        "    name = os.path.basename(path)\n"
        "    print(json.dumps({'beat': 0}), flush=True)\n"
        "    if name == 'crash': os.kill(os.getpid(), 11)\n"
        "    if name == 'once' and not os.path.exists(path + '.seen'):\n"
        "        open(path + '.seen', 'w').close(); os.kill(os.getpid(), 9)\n"
        "    if name == 'hang': time.sleep(60)\n"
        "    if name == 'eat': block = bytearray(400 << 20); time.sleep(60)\n"
        "    print(json.dumps({'record': {'status': 'good'}}), flush=True)\n"
    )
    real = subprocess.Popen

    def popen(command, **options):
        return real([sys.executable, str(tmp_path / "hostile.py")], **options)

    monkeypatch.setattr(pool.subprocess, "Popen", popen)
    return tmp_path


def test_a_crash_a_hang_and_a_glut_cost_one_clip_each(hostile_worker):
    names = ["a", "crash", "b", "hang", "eat", "once", "c"]
    limits = Limits(memory_mb=200, stall_s=3)
    records = dict(Pool(2, Settings(), limits).run(jobs(hostile_worker, *names)))
    reasons = {Path(task.job.path).name: r.get("reason", "good") for task, r in records.items()}
    assert {name for name, reason in reasons.items() if reason == "good"} == {"a", "b", "c", "once"}
    assert reasons["crash"] == "the process that read it died twice (signal 11)"
    assert reasons["hang"] == "nothing happened for 3 s while it was read"
    assert reasons["eat"] == "it needs more than 200 MB of memory"
