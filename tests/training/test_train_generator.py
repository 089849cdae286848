"""Training of StyleGAN2 at 8 px."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from test_loop import assert_resumed_equals_straight

from xfer.errors import BadValue
from xfer.runs import read_stats
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.config import GeneratorTraining
from xfer.training.loop import train
from xfer.training.train_generator import FolderImages, GeneratorTask, train_generator

TINY = GeneratorTraining(
    generator=GeneratorConfig(
        resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
    ),
    batch=4, kimg=0.024, log_kimg=0.008, save_kimg=0.008, r1_gamma=0.1,
    r1_interval=2, path_interval=2, ema_kimg=0.05,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Six red images, of other sizes than the training's."""
    (tmp_path / "images").mkdir()
    for i in range(6):
        image = np.full((16, 20 + i, 3), (200, 10 * i, 0), np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


def test_a_folder_gives_square_images_of_one_size(folder):
    images = FolderImages(folder, 8)
    assert len(images) == 6
    assert images[3].shape == (8, 8, 3) and (images[3] == (200, 30, 0)).all()
    (folder / "empty").mkdir()
    with pytest.raises(BadValue, match="no images"):
        FolderImages(folder / "empty", 8)


def test_an_epoch_shows_every_image_once(folder):
    task = GeneratorTask(TINY, FolderImages(folder, 8))
    greens = torch.cat([task.batch(step)[:, 1, 0, 0] for step in range(3)])
    colours = ((greens + 1) * 127.5).round().tolist()
    assert [sorted(colours[:6]), sorted(colours[6:])] == [[0, 10, 20, 30, 40, 50]] * 2
    assert colours[:6] != colours[6:]


def test_training_reports_all_terms_and_its_weights_open(folder, tmp_path):
    weights = train_generator(TINY, folder, tmp_path / "run", "cpu")
    record = read_stats(tmp_path / "run")[-1]
    assert {"discriminator", "generator", "real", "fake", "r1", "path_length"} <= record.keys()
    generator = Generator.load(weights)
    image = generator.synthesis(generator.to_w_plus(generator.mapping(torch.randn(2, 8))))
    assert image.shape == (2, 3, 8, 8) and bool(image.isfinite().all())
    assert bool((generator.w_mean != 0).any())


def test_the_generator_learns_the_colour(folder, tmp_path):
    config = dataclasses.replace(TINY, kimg=0.32, learning_rate=1e-2, log_kimg=1.0, save_kimg=1.0)
    task = GeneratorTask(config, FolderImages(folder, 8))
    red_and_blue = lambda: task.generate(0, "test")[0].mean((0, 2, 3))[::2].detach()
    before = red_and_blue()
    train(task, tmp_path / "run")
    change = red_and_blue() - before
    assert change[0] > 0.2 and change[1] < -0.2


def test_a_resumed_training_equals_a_straight_one_bit_for_bit(folder, tmp_path):
    images = FolderImages(folder, 8)
    make = lambda kimg: GeneratorTask(dataclasses.replace(TINY, kimg=kimg), images)
    assert_resumed_equals_straight(make, tmp_path, 0.024, 0.012)
