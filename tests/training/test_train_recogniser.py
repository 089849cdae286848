"""Training of a recogniser on people of blots."""

import math

import pytest
import torch
from small_world import N_STYLES, W_DIM, Blots

from xfer.control import Control, ControlConfig
from xfer.recognition import FaceRecogniser, FaceRecogniserConfig
from xfer.runs import read_stats
from xfer.training.config import RecogniserTraining
from xfer.training.loop import train
from xfer.training.train_recogniser import RecogniserTask, cosface

CONFIG = RecogniserTraining(
    recogniser=FaceRecogniserConfig(
        resolution=16, channels=(8, 8), blocks=(1, 1), reduction=4, embedding=8, dropout=0.2
    ),
    people=4, batch=8, kimg=0.48, log_kimg=0.12, save_kimg=1.0, preview=32, psi=1.0, occlude=0.0,
    learning_rate=1e-2,
)  # fmt: skip


@pytest.fixture
def task():
    control = Control(ControlConfig(n_motion_styles=1, n_styles=N_STYLES, w_dim=W_DIM))
    control.directions.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    return RecogniserTask(CONFIG, Blots(), control)


def test_people_are_told_apart_after_training(task, tmp_path):
    weights = train(task, tmp_path)
    first, *_, last = (line["loss"] for line in read_stats(tmp_path))
    assert last < 0.7 * first
    assert isinstance(FaceRecogniser.load(weights), FaceRecogniser)


def test_a_person_is_a_seed_and_moves_in_the_first_styles_only(task):
    people, w_plus = task.sample(3)
    again, same = task.sample(3)
    assert torch.equal(people, again) and torch.equal(w_plus, same)
    assert task.photos(3, w_plus).shape == (8, 3, 32, 32)


def test_the_margin_lowers_the_right_cosine_alone():
    cosines = torch.tensor([[0.8, 0.2]])
    expected = math.log(1 + math.exp(10 * (0.2 - (0.8 - 0.3))))
    assert cosface(cosines, torch.tensor([0]), 10.0, 0.3).item() == pytest.approx(expected)
