"""Speed in one run: the packaged generator, ours, the reader, and videos from file to file.

make bench    or    pytest -m benchmark -s --benchmark-disable-gc
"""

import numpy as np
import openvino
import pytest
import torch

from xfer.assets import asset_path
from xfer.face_reader import FaceReader
from xfer.media.images import Source
from xfer.media.video import VideoWriter, open_video
from xfer.pipeline import TransferPipeline
from xfer.pipeline_inputs import Driver, TransferOptions
from xfer.pipeline_outputs import write_video
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.inference import PreparedWavelet
from xfer.weights import load

pytestmark = pytest.mark.benchmark
FRAMES, VIDEO_FRAMES = 32, 128


@pytest.fixture
def timed(benchmark):
    """Times a function that works on so many frames once, after once to warm up."""

    def run(work, frames):
        benchmark.extra_info["frames"] = frames
        benchmark.pedantic(work, rounds=1, warmup_rounds=1)

    return run


@pytest.fixture(scope="module")
def codes():
    generator = Generator.load("ffhq")
    w = generator.mapping(torch.randn(FRAMES, 512, generator=torch.Generator().manual_seed(0)))
    return generator.to_w_plus(w).detach().split(1)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A generated face of 512 px that turns its head."""
    pipeline = TransferPipeline(load("ffhq"), TransferOptions(size=512))
    identity, path = pipeline.identity("random:7"), tmp_path_factory.mktemp("bench") / "driver.mp4"
    with VideoWriter(path, (512, 512), 25.0, Source.GENERATED) as out:
        for yaw in 20 * np.sin(np.linspace(0, 6, VIDEO_FRAMES)):
            out.write(pipeline.factors({"yaw": float(yaw)}, identity).image)
    return path


def test_packaged_generator(timed, codes):
    """The network as its authors packaged it, 1024 px, float32, one w for all layers."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(str(asset_path("ffhq-synthesis.xml")), "CPU", options)
    request = network.create_infer_request()
    inputs = [code[:, 0].numpy() for code in codes]
    timed(lambda: [request.infer({0: w}) for w in inputs], FRAMES)


@pytest.mark.parametrize(("size", "exact"), [(1024, True), (1024, False), (512, False)])
def test_prepared_generator(timed, codes, size, exact):
    """Exact: float32 everywhere; else bfloat16 where the processor has it."""
    generator = PreparedWavelet(Generator.load("ffhq"), size, exact)
    timed(lambda: list(generator.stream(iter(codes))), FRAMES)


@pytest.mark.parametrize("size", [256, 128])
def test_preview(timed, codes, size):
    generator = Generator.load("ffhq").prepare()
    timed(lambda: [generator.preview(code, size) for code in codes], FRAMES)


def test_reading_faces(timed, video):
    reader, frames = FaceReader(), list(open_video(video))
    timed(lambda: list(reader.track(frames)), VIDEO_FRAMES)


@pytest.mark.parametrize("size", [1024, 512, 256])
def test_video_from_file_to_file(timed, video, tmp_path, size):
    pipeline = TransferPipeline(load("ffhq"), TransferOptions(size=size))
    driver, identity = Driver(str(video), "video"), pipeline.identity("random:3")
    timed(lambda: write_video(pipeline, driver, identity, tmp_path / "o.mp4"), VIDEO_FRAMES)


def test_camera_frame_to_generated_image(timed, video):
    """Latency of a loop that reads, moves and renders one frame at 256 px."""
    pipeline = TransferPipeline(load("ffhq"), TransferOptions(size=256))
    identity, frames = pipeline.identity("random:3"), list(open_video(video))
    neutral = pipeline.still_neutral()

    def loop():
        faces = pipeline.reader.track(iter(frames), live=True)
        for frame, face in zip(frames, faces, strict=True):
            w_plus = pipeline.move(identity, pipeline.motion(frame.image, face), neutral)
            pipeline.generator.preview(w_plus, 256)

    timed(loop, VIDEO_FRAMES)
