"""Videos of the user become a transfer model by the commands of the README, on nano networks."""

import pytest
import torch

from tests.controls.linear_world import SLIM
from xfer.cli import main
from xfer.files import read_checkpoint
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.model import Transfer
from xfer.runs import read_json
from xfer.stylegan2.generator import Generator
from xfer.training.world_clips import render_clips


def short(steps):
    """Settings of so few steps of four pictures, saved after each."""
    kimg = ("tick_kimg=0.004", "save_kimg=0.004")
    return ["--preset", "nano", "--device", "cpu", "--set", "batch=4", "half=none", *kimg,
            f"total_kimg={steps * 0.004}"]  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four people, a clip each; preparing them leaves two to learn from."""
    out = tmp_path_factory.mktemp("videos") / "mine"
    return render_clips(out, 4, 3, size=96, seed=1, preset="studio", compiled=False)


@pytest.fixture(scope="module")
def instruments(tmp_path_factory):
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    path = tmp_path_factory.mktemp("instruments") / "loss.safetensors"
    return str(Instruments(reader, recogniser, "loss", {}).save(path, {"licence": "MIT"}))


def test_videos_become_a_transfer_model_step_by_step(videos, instruments, tmp_path, capsys):
    data, out = str(tmp_path / "data" / "mine"), lambda name: str(tmp_path / name)
    rest = ["--size", "48", "--landmarks", "truth", "--workers", "1"]
    assert main(["prepare", str(videos), "--out", data, *rest]) == 0

    train = lambda name, *given: main(["train", *name.split(), *given])
    assert train("generator", "--frames", data, "--out", out("g"), *short(2)) == 0
    generator = out("g/generator.safetensors")
    looks = ["--instruments", instruments]
    given = ["--frames", data, "--generator", generator]
    assert train("inverter", *given, *looks, "--out", out("i"), *short(2)) == 0
    inverter = out("i/inverter.safetensors")
    assert train("latents", *given, "--inverter", inverter, "--device", "cpu") == 0
    given = ["--clips", data, "--generator", generator, "--inverter", inverter, *looks]
    assert train("transfer", *given, "--out", out("t"), *short(4)) == 0
    assert train("rival", *given, "--out", out("r"), *short(1)) == 0

    told = capsys.readouterr().err
    assert told.count("holds pictures of 48 px; they are brought to 32 px") == 1
    model = Transfer.load(out("t/transfer.safetensors"))
    assert model.generator.resolution == 32
    facts = read_checkpoint(out("t/transfer.safetensors")).facts
    mine, unknown = {"folder": "mine"}, "the licence of its data"
    assert facts["licence"] == f"{unknown}; its generator: {unknown}; its inverter: {unknown}"
    looked = {"instruments": {"file": "loss.safetensors"}}
    made = {"generator": mine, "inverter": mine | {"generator": mine} | looked} | looked
    assert facts["trained_on"] == mine | made
    inputs = read_json(out("t/run.json"))["inputs"]
    assert inputs["clips"] == "mine"
    assert inputs["inverter"].startswith("inverter.safetensors, sha256 ")
    assert str(tmp_path) not in str(inputs) + str(facts)

    assert train("transfer", *given, "--out", out("t2"), *short(2)) == 0
    assert train("transfer", *given, "--out", out("t2"), *short(4)) == 0
    once = {name: part.tensors for name, part in read_checkpoint(
        out("t/transfer.safetensors")).networks.items()}  # fmt: skip
    twice = read_checkpoint(out("t2/transfer.safetensors")).networks
    for role, tensors in once.items():
        for name, value in tensors.items():
            assert torch.equal(value, twice[role].tensors[name]), f"{role}/{name}"


def test_the_endless_world_teaches_without_a_folder(instruments, tmp_path, monkeypatch):
    monkeypatch.setattr("xfer.datasets.world.compiler", lambda: None)
    out = lambda name: str(tmp_path / name)
    given = ["--frames", "world"]
    assert main(["train", "generator", *given, "--out", out("g"), *short(1)]) == 0
    path = out("g/generator.safetensors")
    facts = read_checkpoint(path).facts
    assert facts["licence"] == "MIT"
    assert facts["trained_on"] == {"people": "endless", "seed": 0, "preset": "studio"}
    assert read_json(out("g/run.json"))["inputs"] == {"frames": "world"}
    assert Generator.load(path).resolution == 32
    given = ["--frames", "world:wild", "--generator", path, "--instruments", instruments]
    assert main(["train", "inverter", *given, "--out", out("i"), *short(1)]) == 0
    assert list((tmp_path / "i" / "sheets").glob("*.png"))
