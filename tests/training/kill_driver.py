"""A small training run in a process of its own, to be killed: `python kill_driver.py FOLDER`."""

import dataclasses
import sys

import numpy as np
import torch

from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.frames import FrameArray
from xfer.training.train_generator import train_generator

STEPS = 150


def config():
    """nano at 16 px, every regulariser on, saving every five steps."""
    base = preset(
        GENERATOR_PRESETS,
        "nano",
        **{
            "generator.resolution": 16,
            "discriminator.resolution": 16,
            "generator.channel_base": 256,
            "discriminator.channel_base": 256,
            "batch": 8,
            "r1_interval": 4,
            "path_interval": 2,
            "flip": True,
            "half": "none",
        },
    )
    kimg = base.batch / 1000
    return dataclasses.replace(
        base, total_kimg=STEPS * kimg, tick_kimg=10 * kimg, save_kimg=5 * kimg
    )


def main(folder: str) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    frames = FrameArray(rng.integers(0, 255, (50, 16, 16, 3), dtype=np.uint8), seed=3)
    for record in train_generator(config(), frames, folder):
        print(record["step"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
