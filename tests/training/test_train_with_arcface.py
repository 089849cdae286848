"""Trainings on real faces take ArcFace for their instruments, and say where it cannot serve."""

import numpy as np
import pytest
import torch
from made_frames import make_frames

from xfer.cli import main
from xfer.encoders import IdentityEncoder
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator
from xfer.training.config import GENERATOR_PRESETS
from xfer.training.recipes import history
from xfer.training.train_inverter import INVERTER_PRESETS

STEPS = ["batch=2", "total_kimg=0.004", "tick_kimg=0.002", "save_kimg=0.004"]


@pytest.fixture(scope="module")
def files(tmp_path_factory, arcface):
    """Untrained nano networks, and frames."""
    folder = tmp_path_factory.mktemp("nano")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GENERATOR_PRESETS["nano"].generator).eval()
        inverter = IdentityEncoder(INVERTER_PRESETS["nano"].encoder).eval()
    generator.save(folder / "g.safetensors")
    inverter.save(folder / "i.safetensors")
    make_frames(folder / "frames", size=generator.resolution)
    return {
        "--generator": str(folder / "g.safetensors"), "--inverter": str(folder / "i.safetensors"),
        "--frames": str(folder / "frames"), "--clips": str(folder / "frames"),
        "--instruments": str(arcface),
    }  # fmt: skip


def train(kind, files, names, out, *settings):
    given = [word for name in names for word in (name, files[name])]
    asked = ["train", kind, *given, "--out", str(out), "--preset", "nano", "--device", "cpu"]
    return main([*asked, "--set", *STEPS, *settings])


def test_an_inverter_learns_from_it(files, tmp_path):
    names = ("--frames", "--generator", "--instruments")
    assert train("inverter", files, names, tmp_path / "run", "rounds=1") == 0
    records = list(history(tmp_path / "run"))
    assert [record["step"] for record in records] == [1, 2]
    assert all(
        np.isfinite(record[term]) for record in records for term in ("identity_1", "perceptual_1")
    )
    assert IdentityEncoder.load(tmp_path / "run/inverter.safetensors").config.n_styles == 8


TRANSFER = ("--clips", "--generator", "--inverter", "--instruments")


def test_a_transfer_learns_from_it(files, tmp_path):
    assert train("transfer", files, TRANSFER, tmp_path / "run") == 0
    records = list(history(tmp_path / "run"))
    assert [record["step"] for record in records] == [1, 2]
    terms = ("identity", "perceptual", "perceptual_crop")
    assert all(np.isfinite(record[term]) for record in records for term in terms)
    assert Transfer.load(tmp_path / "run/transfer.safetensors").generator.resolution == 32


def test_terms_that_need_a_reader_are_refused_before_anything_is_written(files, tmp_path, capsys):
    for setting, said in (
        ("motion=0.1", "motion=0.1 needs a reader"),
        ("look=reader", "look=reader"),
    ):
        assert train("transfer", files, TRANSFER, tmp_path / "run", setting) == 2
        assert f"{said}: ArcFace recognises people" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_projected_critic_looks_through_it(files, tmp_path):
    settings = ("critic=projected", "r1_interval=0", "path_interval=0", "half=none")
    assert (
        train("generator", files, ("--frames", "--instruments"), tmp_path / "run", *settings) == 0
    )
    assert all(np.isfinite(record["d_loss"]) for record in history(tmp_path / "run"))
