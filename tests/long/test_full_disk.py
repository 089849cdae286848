"""A disk that is full at any moment: a small one of its own, which root alone may mount."""

import io
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_prepare import bytes_of, video

from xfer.data.prepare import PrepareConfig, prepare
from xfer.errors import UnwritableFile
from xfer.inversion import _save
from xfer.media.images import Source, write_image
from xfer.media.video import VideoWriter
from xfer.runs import sha256_of
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.loop import train

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from test_loop import state
from toy import ToyConfig, ToyTask

pytestmark = pytest.mark.long

NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


@pytest.fixture
def disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting a small disk requires root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(32, 12, 12, 2, channel_max=64)).requires_grad_(False)


def train_toy(out: Path) -> bytes:
    """Weights are written, too: of a generator that stays as it is."""
    task = ToyTask(ToyConfig(kimg=0.4, log_kimg=0.004, save_kimg=0.1))
    task.networks["generator"] = generator()
    train(task, out)
    data, found = io.BytesIO(), state(out)
    torch.save({name: found[name] for name in task.parts()}, data)
    return data.getvalue()


def prepare_videos(out: Path) -> dict[str, bytes]:
    videos = [out.parents[out.parent.name == "disk"] / f"{i}.mp4" for i in range(4)]
    for i, path in enumerate(videos):
        path.exists() or video(path, 10 + 2 * i)
    prepare(PrepareConfig(tuple(map(str, videos)), str(out), n_workers=0))
    return bytes_of(out)


def write_file(path: Path) -> bytes:
    if path.suffix == ".mp4":
        with VideoWriter(path, (256, 256), 25, Source.GENERATED) as writer:
            for i in range(30):
                writer.write(np.roll(NOISE, i, 0))
    elif path.suffix == ".cache":
        _save(path, {"w_plus": torch.zeros(1, 18, 512)}, {})  # which warns where it cannot
    elif path.suffix == ".safetensors":
        generator().save(path)
    else:
        write_image(path, NOISE, Source.GENERATED)
    return path.read_bytes()


JOBS = {"training": (train_toy, 10), "preparation": (prepare_videos, 6)} | {
    f"a.{kind}": (write_file, 4) for kind in ("png", "jpg", "webp", "mp4", "cache", "safetensors")
}


@pytest.mark.filterwarnings("error:.*make room:UserWarning")
@pytest.mark.parametrize("name", JOBS)
def test_a_full_disk_gives_one_error_and_the_job_goes_on_when_there_is_room(name, disk, tmp_path):
    (job, times), rng, out = JOBS[name], random.Random(0), disk / name
    whole = job(tmp_path / name)
    size = sum(p.stat().st_size for p in (tmp_path / name, *(tmp_path / name).rglob("*")))
    for _ in range(times):
        room = round(0.95 * size * rng.random() ** rng.choice([1, 6]))
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - room))
        with pytest.raises((UnwritableFile, UserWarning), match=r"^.*make room on the disk.*$"):
            job(out)
        (disk / "filler").unlink()
        left = [p for p in disk.rglob("*") if p.is_file() and (p == out or p.suffix == ".part")]
        saved = list(out.rglob("step_*"))
        assert not left and all(sha256_of(p).startswith(p.name.split(".")[1]) for p in saved)
        assert job(out) == whole
        shutil.rmtree(out) if out.is_dir() else out.unlink()
