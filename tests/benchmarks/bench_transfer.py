"""Speed of transfer, stage by stage: the plain path beside the prepared one, in one run.

    make bench        writes results/speed/transfer.json

The shipped `small` (64 px), and random weights of the paper's sizes (1024 px, affine mapper), one
person prepared beforehand, as in a video. The stages around the network are measured on a 512 px
video of a face that moves, and the verb as a whole on the same video and on one that is aligned
already. On a GPU the clock stops when the device has finished.
"""

import itertools
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from moving_pictures import moving_face, write_video

from xfer.crop import ffhq_crop
from xfer.encoders import MotionEncoder, MotionEncoderConfig
from xfer.faceworld.clips import FPS, draw_clip
from xfer.faceworld.render import render
from xfer.mapper import MapperConfig, build_mapper
from xfer.media.align import align, paste_back
from xfer.media.detectors import Dlib
from xfer.media.provenance import Source
from xfer.media.smoothing import LandmarkFilter, jitter, lag, smooth
from xfer.media.tracking import Tracker
from xfer.media.video import VideoReader
from xfer.media.video_out import VideoWriter
from xfer.model import Transfer
from xfer.pixels import from_uint8, to_uint8
from xfer.reenact.command import reenact
from xfer.reenact.drivers import POINTS_SMOOTHING
from xfer.reenact.settings import Settings
from xfer.runs import environment, read_json, write_json
from xfer.stylegan2.generator import Generator
from xfer.training.config import GENERATOR_PRESETS

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "transfer.json"
ROUNDS = {"small": 12, "paper": 3}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

pytestmark = pytest.mark.benchmark


def model(preset: str) -> Transfer:
    if preset == "small":
        return Transfer.load(preset)
    torch.manual_seed(0)
    generator = Generator(GENERATOR_PRESETS[preset].generator)
    motion, mapper = MotionEncoder(MotionEncoderConfig()), build_mapper(MapperConfig())
    return Transfer(generator, motion, mapper).eval()


def seconds(call, rounds: int, device: str = "cpu") -> float:
    """Median time of a call, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[1:])


def record(name: str, rates: dict[str, float]) -> None:
    found = read_json(RESULTS) if RESULTS.exists() else {}
    rows = found.get("frames_a_second", {}) | {name: rates}
    facts = {"frames_a_second": rows, "threads": torch.get_num_threads()}
    write_json(RESULTS, found | facts | environment())


def stages(form: Transfer, driver, identity):
    """The network's steps as calls; the plain path computes each frame anew."""
    h = form.motion_encoder.bottleneck(driver)
    person = form.person(identity)
    latents = form.latents(h, person)
    return {
        "motion encoder": lambda: form.motion_encoder.bottleneck(driver),
        "mapper, per frame": lambda: form.latents(h, person),
        "mapper, plain": lambda: form.mapper(
            identity.expand(len(h), -1, -1), form.motion_encoder.code(h)
        ),
        "generator": lambda: form.generator.synthesis(latents),
        "whole network": lambda: form.transfer(driver, person),
    }


@pytest.mark.parametrize(
    ("preset", "batch", "device"), list(itertools.product(["small", "paper"], [1, 8], DEVICES))
)
@torch.no_grad()
def test_the_network(preset, batch, device):
    if preset == "paper" and batch > 1 and device == "cpu":
        pytest.skip("one picture at a time keeps a CPU busy")
    plain = model(preset).to(device)
    half = {"prepared half": plain.prepare(torch.float16)} if device == "cuda" else {}
    forms = {"plain": plain, "prepared": plain.prepare()} | half
    edge = plain.motion_encoder.config.resolution
    driver = torch.rand(batch, 3, edge, edge, device=device) * 2 - 1
    identity = plain.generator.to_w_plus(plain.generator.mapping(
        torch.randn(1, plain.generator.z_dim, device=device)))  # fmt: skip
    for form_name, form in forms.items():
        rates = {
            stage: round(batch / seconds(call, ROUNDS[preset], device), 1)
            for stage, call in stages(form, driver, identity).items()
        }
        if form_name == "plain":
            whole = lambda: plain(driver, identity.expand(batch, -1, -1))
            rates["whole network"] = round(batch / seconds(whole, ROUNDS[preset], device), 1)
        record(f"{preset}, batch {batch}, {device}, {form_name}", rates)


def test_around_the_network(tmp_path):
    path = write_video(tmp_path / "in.mp4", moving_face(24, 512), pixel_format="yuv420p")
    frames = list(VideoReader(path))
    tracker = Tracker(Dlib())
    face = tracker.find(frames[0].pixels)
    crop = ffhq_crop(torch.from_numpy(face.points)[None])
    pixels = frames[0].pixels
    result = from_uint8(align(pixels, crop, 64)[None])

    def written():
        with VideoWriter(tmp_path / "out.mp4") as video:
            for frame in frames:
                video.add(frame.pixels)

    each = {
        "reading": (lambda: list(VideoReader(path)), 24),
        "following the face": (lambda: [tracker.find(f.pixels) for f in frames], 24),
        "aligning, 64 px": (lambda: align(pixels, crop, 64, None), 1),
        "aligning, 256 px": (lambda: align(pixels, crop, 256, None), 1),
        "pasting back": (lambda: paste_back(pixels, result, crop), 1),
        "writing": (written, 24),
    }
    rates = {name: round(count / seconds(call, 3), 1) for name, (call, count) in each.items()}
    record("around the network, 512 px video", rates)


def test_the_verb(tmp_path):
    """`xfer reenact` from file to file, the search for the face and both codecs included."""
    frames = 100
    film = {"512 px, read from landmarks": moving_face(frames, 512)}
    clip = draw_clip(frames, 5, preset="studio")
    drawn = render(*clip.groups, 128, aligned=True).picture
    film["128 px, aligned"] = to_uint8(drawn)
    rates = {}
    for name, pixels in film.items():
        source = Source.RENDERED if "aligned" in name else None
        with VideoWriter(tmp_path / "in.mp4", source=source) as video:
            for picture in pixels:
                video.add(picture)
        settings = Settings(aligned="aligned" in name, landmarks="dlib")
        names = (str(tmp_path / "in.mp4"), ["random:1"], str(tmp_path / "out.mp4"), settings)
        rates[name] = round(frames / seconds(lambda given=names: reenact(*given), 2), 1)
    record("xfer reenact, small, whole", rates)


def test_smoothing():
    """Jitter and lag on a talking head's true landmarks with a detector's noise."""
    frames = 50
    clip = draw_clip(frames, 4)
    truth = np.concatenate([
        render(*clip.index(range(start, start + 10)).groups, 64).landmarks.numpy()
        for start in range(0, frames, 10)
    ]) * 4  # fmt: skip
    times = np.arange(frames) / FPS
    rng = np.random.default_rng(0)
    seen = truth + rng.normal(0, 1, truth.shape).astype(np.float32)
    follow = LandmarkFilter()
    tracks = {
        "truth": truth,
        "as detected": seen,
        "crops": smooth(seen, times, np.zeros(frames, np.int64), 0.12),
        "motion": smooth(seen, times, np.zeros(frames, np.int64), 0.12 * POINTS_SMOOTHING),
        "live": np.stack([follow(p, t) for p, t in zip(seen, times, strict=True)]),
    }
    rows = {
        name: {"jitter_px": round(jitter(track), 3),
               "lag_ms": round(1000 * lag(track, truth, times), 1)}
        for name, track in tracks.items()
    }  # fmt: skip
    found = read_json(RESULTS) if RESULTS.exists() else {}
    write_json(RESULTS, found | {"smoothing of landmarks, face of 256 px": rows} | environment())
