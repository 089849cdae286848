"""Instruments learn what they are shown, resume exactly, and keep loss and judge apart."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from two_processes import assert_two_equal_one

from xfer.runs import write_json
from xfer.training.checkpoint import Checkpoints
from xfer.training.instrument_config import READER_PRESETS, RECOGNISER_PRESETS
from xfer.training.train_instruments import learning_rate, roughened, train_instrument
from xfer.training.world_frames import WorldFrames


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("frames"))


def coloured(folder):
    """Pictures whose brightness is the yaw and whose colour is the person."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    n = 64
    yaw, person = rng.uniform(-1, 1, n), np.arange(n) % 4
    pictures = np.zeros((n, 32, 32, 3))
    pictures[..., 0] = (yaw[:, None, None] + 1) * 100
    pictures[..., 1] = (person * 60)[:, None, None]
    np.save(folder / "frames.npy", pictures.astype(np.uint8))
    table = {"person": person, "yaw_deg": yaw * 45, "jaw": rng.uniform(0, 1, n)}
    table["landmarks"] = list(rng.normal(size=(n, 136)).astype(np.float32))
    pd.DataFrame(table).to_parquet(folder / "frames.parquet")
    write_json(folder / "frames.json", {})
    return WorldFrames(folder)


def tiny(kind, steps):
    config = {"reader": READER_PRESETS, "recogniser": RECOGNISER_PRESETS}[kind]["nano"]
    if kind == "reader":
        config = dataclasses.replace(
            config, reader=dataclasses.replace(config.reader, factors=("yaw_deg", "jaw"))
        )
    kimg = 16 / 1000
    return dataclasses.replace(
        config, batch=16, total_kimg=steps * kimg, tick_kimg=5 * kimg, save_kimg=5 * kimg,
        roughen=0.2,
    )  # fmt: skip


def weights(folder):
    return Checkpoints(folder).load_latest()[1]["networks"]


@pytest.mark.parametrize(("kind", "what"), [("reader", "factor_error"), ("recogniser", "loss")])
def test_an_instrument_learns(kind, what, frames, tmp_path):
    records = list(train_instrument(tiny(kind, 40), frames, tmp_path))
    assert records[-1][what] < 0.7 * records[0][what]


@pytest.mark.parametrize("kind", ["reader", "recogniser"])
def test_a_stopped_instrument_run_resumes_exactly(kind, frames, tmp_path):
    list(train_instrument(tiny(kind, 10), frames, tmp_path / "whole"))
    running = train_instrument(tiny(kind, 10), frames, tmp_path / "broken")
    next(running)
    running.close()
    list(train_instrument(tiny(kind, 10), frames, tmp_path / "broken"))
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_the_rate_warms_up_and_ends_at_nothing():
    config = tiny("reader", 10)
    rates = [learning_rate(config, step, 1000) for step in range(1001)]
    assert rates[9] == max(rates) == config.learning_rate
    assert rates[0] == pytest.approx(config.learning_rate / 10)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_roughening_is_each_picture_s_own_and_can_be_off():
    images = torch.zeros(3, 3, 4, 4)
    rngs = lambda: [torch.Generator().manual_seed(i) for i in range(3)]
    assert torch.equal(roughened(images, rngs(), 0.0), images)
    rough = roughened(images, rngs(), 1.0)
    assert rough.abs().max() > 0
    assert torch.equal(roughened(images[1:2], rngs()[1:2], 1.0), rough[1:2])


def train_some(kind, frames_folder, folder, world):
    list(train_instrument(tiny(kind, 20), WorldFrames(frames_folder), folder, world))


@pytest.mark.parametrize("kind", ["reader", "recogniser"])
def test_two_processes_equal_one(kind, tmp_path):
    """Batch norms, dropout and noise are those of the whole batch."""
    coloured(frames_folder := tmp_path / "frames")
    assert_two_equal_one(functools.partial(train_some, kind, frames_folder), tmp_path, "networks")
