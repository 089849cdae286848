"""Speed in one run: the packaged generator, ours, the reader, and videos from file to file.

make bench    or    pytest -m benchmark -s --benchmark-disable-gc
"""

import numpy as np
import pytest
import torch

from xfer.assets import asset_path
from xfer.media.provenance import Source
from xfer.media.video import VideoWriter, open_video
from xfer.pipeline import TransferPipeline
from xfer.pipeline_inputs import Driver, TransferOptions
from xfer.pipeline_outputs import write_video
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.inference import PreparedWavelet
from xfer.weights import load

pytestmark = pytest.mark.benchmark
FRAMES, VIDEO_FRAMES = 32, 128


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


def test_packaged_generator(benchmark, codes):
    """The network as its authors packaged it, 1024 px, float32, one w for all layers."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(str(asset_path("ffhq-synthesis.xml")), "CPU", options)
    request = network.create_infer_request()
    inputs = [code[:, 0].numpy() for code in codes]
    benchmark.extra_info["frames"] = FRAMES
    benchmark.pedantic(lambda: [request.infer({0: w}) for w in inputs], rounds=1, warmup_rounds=1)


@pytest.mark.parametrize(("size", "exact"), [(1024, True), (1024, False), (512, False)])
def test_prepared_generator(benchmark, codes, size, exact):
    """Exact: float32 everywhere; else bfloat16 where the processor has it."""
    generator = PreparedWavelet(Generator.load("ffhq"), size, exact)
    benchmark.extra_info["frames"] = FRAMES
    render = lambda: list(generator.stream(iter(codes)))
    benchmark.pedantic(render, rounds=1, warmup_rounds=1)


@pytest.mark.parametrize("size", [256, 128])
def test_preview(benchmark, codes, size):
    generator = Generator.load("ffhq").prepare()
    benchmark.extra_info["frames"] = FRAMES
    render = lambda: [generator.preview(code, size) for code in codes]
    benchmark.pedantic(render, rounds=1, warmup_rounds=1)


def test_reading_faces(benchmark, video):
    from xfer.face_reader import FaceReader

    reader, frames = FaceReader(), list(open_video(video))
    benchmark.extra_info["frames"] = VIDEO_FRAMES
    benchmark.pedantic(lambda: list(reader.track(frames)), rounds=1, warmup_rounds=1)


@pytest.mark.parametrize("size", [1024, 512, 256])
def test_video_from_file_to_file(benchmark, video, tmp_path, size):
    pipeline = TransferPipeline(load("ffhq"), TransferOptions(size=size))
    identity = pipeline.identity("random:3")
    reenact = lambda: write_video(
        pipeline, Driver(str(video), "video"), identity, tmp_path / "o.mp4"
    )
    benchmark.extra_info["frames"] = VIDEO_FRAMES
    benchmark.pedantic(reenact, rounds=1, warmup_rounds=1)


def test_camera_frame_to_generated_image(benchmark, video):
    """Latency of a loop that reads, moves and renders one frame at 256 px."""
    pipeline = TransferPipeline(load("ffhq"), TransferOptions(size=256))
    identity, frames = pipeline.identity("random:3"), list(open_video(video))
    neutral = pipeline.still_neutral()
    images = lambda: (frame for frame in frames)

    def loop():
        faces = pipeline.reader.track(images(), live=True)
        for frame, face in zip(frames, faces, strict=True):
            w_plus = pipeline.move(identity, pipeline.motion(frame.image, face), neutral)
            pipeline.generator.preview(w_plus, 256)

    benchmark.extra_info["frames"] = VIDEO_FRAMES
    benchmark.pedantic(loop, rounds=1, warmup_rounds=1)
