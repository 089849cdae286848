"""Speed of preparation per core, stage by stage, and of reading prepared clips.

    make bench        writes results/speed/preparation.json

A 512 px video of a face that moves; 256 px crops; one thread. Reading: 256 px JPEG frames.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_clips import make_clips
from moving_pictures import moving_face, write_video
from PIL import Image
from skimage.data import astronaut

from xfer.crop import ffhq_crop
from xfer.datasets.batches import Batches
from xfer.datasets.clips import Clips
from xfer.datasets.sources import CrossPersonPairs
from xfer.media.align import align, paste_back
from xfer.media.detectors import Dlib
from xfer.media.pictures import encode_picture
from xfer.media.tracking import Tracker
from xfer.media.video import VideoReader
from xfer.pixels import from_uint8
from xfer.prepare.clip import prepare_clip
from xfer.prepare.records import Settings
from xfer.prepare.sources import Input
from xfer.runs import environment, read_json, write_json

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "preparation.json"
DATA = Path(__file__).resolve().parents[1] / "data" / "align" / "landmarks.json"
FRAMES = 48

pytestmark = pytest.mark.benchmark


def record(name, seconds_per_item):
    """Put one number beside the others of this machine."""
    found = read_json(RESULTS) if RESULTS.exists() else {}
    rates = found.get("per_second", {}) | {name: round(1 / seconds_per_item, 1)}
    write_json(RESULTS, {"per_second": rates} | environment())


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    return write_video(path, moving_face(FRAMES, 512), pixel_format="yuv420p")


def crop():
    return ffhq_crop(
        torch.tensor(json.loads(DATA.read_text())["astronaut"], dtype=torch.float)[None]
    )


def test_decoding(benchmark, video):
    benchmark(lambda: list(VideoReader(video)))
    record("decoding a 512 px frame", benchmark.stats["median"] / FRAMES)


def test_tracking_and_landmarks(benchmark, video):
    frames, dlib = [frame.pixels for frame in VideoReader(video)], Dlib()

    def track():
        tracker = Tracker(dlib)
        return [tracker.find(pixels) for pixels in frames]

    benchmark.pedantic(track, rounds=3)
    record("following a face and reading its landmarks (dlib)", benchmark.stats["median"] / FRAMES)


@pytest.mark.parametrize("oversample", [None, 4], ids=["video", "picture"])
def test_alignment(benchmark, oversample):
    pixels, place = astronaut(), crop()
    benchmark(lambda: align(pixels, place, 256, oversample))
    name = "for a picture, as FFHQ" if oversample else "for video"
    record(f"aligning to 256 px {name}", benchmark.stats["median"])


def test_pasting_back(benchmark):
    pixels, place = astronaut(), crop()
    image = from_uint8(align(pixels, place, 256)[None])
    benchmark(lambda: paste_back(pixels, image, place))
    record("pasting a 256 px crop back", benchmark.stats["median"])


def test_encoding(benchmark):
    pixels = align(astronaut(), crop(), 256)
    benchmark(lambda: encode_picture(pixels, ".jpg", None))
    record("encoding a 256 px JPEG", benchmark.stats["median"])


def test_a_whole_clip(benchmark, video, tmp_path):
    job = Input(0, str(video), "video", "a", "a")
    work = lambda: prepare_clip(job, Settings(landmarks="dlib"), tmp_path / "part", lambda _: None)
    benchmark.pedantic(work, rounds=3, warmup_rounds=1)
    record("preparing frames of a clip, all stages", benchmark.stats["median"] / FRAMES)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_random_pairs(benchmark, tmp_path, workers):
    face = np.array(Image.fromarray(astronaut()).crop((130, 40, 386, 296)))
    clips = Clips(make_clips(tmp_path / "set", people=50, clips=2, frames=20, pixels=face))
    with Batches(CrossPersonPairs(clips), 16, workers) as batches:
        benchmark.pedantic(lambda: next(batches), rounds=40, warmup_rounds=5)
    record(f"random pairs at 256 px, {workers} workers", benchmark.stats["mean"] / 16)
