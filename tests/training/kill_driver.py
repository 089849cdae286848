"""A small training by its command, to be killed: `python kill_driver.py FRAMES FOLDER STEPS`."""

import sys

from xfer.cli import main

BATCH = 8


def settings(steps: int) -> dict[str, object]:
    """Of nano: 16 px, every regulariser on, saving every four steps, drawing at every fortieth."""
    kimg = BATCH / 1000
    return {
        "generator.resolution": 16, "discriminator.resolution": 16,
        "generator.channel_base": 128, "discriminator.channel_base": 128,
        "batch": BATCH, "half": "none", "r1_interval": 4, "path_interval": 2,
        "style_mixing": 0.9, "flip": True, "augment": True, "total_kimg": steps * kimg,
        "tick_kimg": 5 * kimg, "save_kimg": 4 * kimg, "sheet_kimg": 40 * kimg,
    }  # fmt: skip


def train(frames: str, folder: str, steps: int) -> int:
    """What the command line would do, and its exit status."""
    changes = [f"{name}={value}" for name, value in settings(steps).items()]
    return main([
        "train", "generator", "--frames", frames, "--out", folder, "--preset", "nano",
        "--device", "cpu", "--set", *changes,
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(train(sys.argv[1], sys.argv[2], int(sys.argv[3])))
