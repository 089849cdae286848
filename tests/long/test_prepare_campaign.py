"""Faults of a preparation, in numbers: kills, broken images, broken videos. Some 15 minutes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
from PIL import Image
from skimage.data import astronaut
from test_prepare import bytes_of, video

from xfer.data.prepare import PrepareConfig, prepare

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("n_workers", "killed", "most"), [(0, "all", 30), (2, "all", 10), (2, "worker", 10)]
)
def test_kills_change_no_byte(tmp_path, n_workers, killed, most):
    videos = tmp_path / "videos"
    videos.mkdir()
    for i in range(12):
        video(videos / f"{i:02d}.mp4", 10 + 2 * i)
    began, run = time.monotonic(), [sys.executable, "-m", "xfer", "prepare", videos]
    run += ["--n-workers", str(n_workers), "--out"]
    subprocess.run([*run, tmp_path / "whole"], check=True)
    seconds = time.monotonic() - began
    whole, rng, counts = bytes_of(tmp_path / "whole"), random.Random(n_workers), Counter()
    out = tmp_path / "out0"
    while counts["kills"] < most or out.exists():
        job = subprocess.Popen([*run, out], start_new_session=True)
        try:
            job.wait(rng.uniform(0, seconds) if counts["kills"] < most else None)
        except subprocess.TimeoutExpired:
            workers = workers_of(job.pid) if killed == "worker" else []
            pid = rng.choice(workers or [job.pid])
            counts["kills"] += bool(workers) == (killed == "worker")
            os.kill(pid, signal.SIGKILL)
        if (status := job.wait()) == 0:
            assert bytes_of(out) == whole
            counts["folders"] += 1
            out = tmp_path / f"out{counts['folders']}"
        else:  # the command was killed, or says in a line that a worker died while it started
            assert status in (-signal.SIGKILL, 2)
            counts["refused"] += status == 2
    print(json.dumps({"workers": n_workers, "killed": killed} | counts))


def workers_of(pid: int) -> list[int]:
    children = psutil.Process(pid).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file without its end, a stretch or its head, or with wrong bytes or zeros in it."""
    start, wrong = rng.randrange(len(data)), bytearray(data)
    for _ in range(rng.randrange(1, 200)):
        wrong[rng.randrange(len(data))] = rng.randrange(256)
    without = data[: start // 2] + data[start:]
    beheaded = rng.randbytes(rng.randrange(1, 400)) + data[rng.randrange(1, 400) :]
    zeros = bytes(min(len(data) - start, len(data) // 3))
    zeroed = data[:start] + zeros + data[start + len(zeros) :]
    return rng.choice([data[:start], bytes(wrong), without, beheaded, zeroed])


def test_broken_images_and_videos_cost_themselves_only(tmp_path):
    broken, rng = tmp_path / "broken", random.Random(0)
    broken.mkdir()
    images = [tmp_path / f"a.{suffix}" for suffix in ("jpg", "png", "webp", "gif", "bmp")]
    for path in images:
        Image.fromarray(astronaut()[0:300, 60:400]).save(path)
    videos = {"a.mp4": "mpeg4", "a.avi": "mpeg4", "a.mkv": "libx264"}
    for name, codec in videos.items():
        video(tmp_path / name, 30, codec)
    for count, paths in ((200, images), (100, [tmp_path / name for name in videos])):
        for i in range(count):
            path = paths[i % len(paths)]
            (broken / f"{i:03d}{path.suffix}").write_bytes(damaged(path.read_bytes(), rng))
    for name in ("a.jpg", "a.mp4"):
        (broken / name).write_bytes((tmp_path / name).read_bytes())
    out = tmp_path / "out"
    prepare(PrepareConfig(inputs=(str(broken),), out=str(out), n_workers=2))
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len({line["input"] for line in lines}) == len(lines) == 302
    status = {line["input"]: line["status"] for line in lines}
    assert status["broken/a.jpg"] == status["broken/a.mp4"] == "ok"
    assert all(line["reason"] for line in lines if line["status"] != "ok")
    print(json.dumps({"inputs": len(lines)} | Counter(status.values())))
