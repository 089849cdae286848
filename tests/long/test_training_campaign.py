"""A training that is killed, damaged and given what is no number; XFER_FAULTS scales how often."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from test_checkpoints import damaged
from tqdm import tqdm

from xfer.errors import XferError
from xfer.runs import Checkpoints
from xfer.training.loop import train

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from test_loop import assert_same, run, state
from test_loop import straight as straight
from toy import ToyConfig, ToyTask

pytestmark = pytest.mark.long

MANY = float(os.environ.get("XFER_FAULTS", "1.0"))


def test_kills_at_any_moment_lose_at_most_an_interval(tmp_path, straight):
    import torch.utils.tensorboard  # noqa: F401  or every child imports it before its first step

    tqdm.set_lock(threading.RLock())  # forked processes share its own, which a kill leaves locked
    rng, kills, rounds = random.Random(0), 0, 0
    while kills < 60 * MANY:
        longest, folder = 0.3, tmp_path / str(rounds)
        rounds += 1
        while True:
            saved = Checkpoints(folder / "checkpoints").newest() if folder.exists() else None
            child = os.fork()
            if child == 0:
                train(ToyTask(ToyConfig(pause_s=0.005)), folder)
                os._exit(0)
            end = time.monotonic() + rng.uniform(0.01, longest)
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
                time.sleep(0.002)
            if ended[0] == 0:
                os.kill(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
            if os.WIFEXITED(ended[1]):
                assert ended[1] == 0
                break
            kills += 1
            found = Checkpoints(folder / "checkpoints").newest()
            if saved is not None:  # what was saved is never lost
                assert found["counters"][0] >= saved["counters"][0]
            if found is None or (saved and found["counters"][0] == saved["counters"][0]):
                longest *= 1.3  # so that a busy machine ends, too
        assert_same(state(straight), state(folder))
    print(f"{kills} kills over {rounds} runs")


class FaultyTask(ToyTask):
    """At some steps the images, the loss or a gradient is multiplied by what is no number."""

    def __init__(self, faults: dict[int, dict[str, float]]):
        super().__init__(ToyConfig())
        self.faults = faults
        weight = self.networks["network"][0].weight
        weight.register_hook(lambda gradient: gradient * self.scale["gradient"])

    def step(self, step: int, images: torch.Tensor) -> dict[str, torch.Tensor]:
        whole = {"images": 1.0, "loss": 1.0, "gradient": 1.0}
        self.scale = whole | self.faults.get(step, {})
        return super().step(step, images * self.scale["images"])

    def update(self, name: str, loss: torch.Tensor) -> None:
        super().update(name, loss * self.scale["loss"])


def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path):
    rng, kinds, total = random.Random(0), ("images", "loss", "gradient"), 0
    for i in range(round(30 * MANY)):
        bad = rng.sample(range(20), rng.randrange(1, 10))
        wrong = lambda: float(rng.choice(["nan", "inf", "-inf"]))
        train(FaultyTask({step: {rng.choice(kinds): wrong()} for step in bad}), tmp_path / f"{i}")
        run(tmp_path / f"without{i}", bad_steps=tuple(bad))
        found, expected = state(tmp_path / f"{i}"), state(tmp_path / f"without{i}")
        assert found["counters"][:2] == expected["counters"][:2] == (20, len(bad))
        assert_same(found, expected)
        total += len(bad)
    print(f"{total} bad steps in {i + 1} runs")


def test_damaged_checkpoints_fall_back_or_are_refused(tmp_path, straight):
    run(tmp_path / "whole", kimg=0.04)
    results, rng = Counter(), random.Random(0)
    for seed in range(round(300 * MANY)):
        folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / f"{seed}"))
        paths = Checkpoints(folder / "checkpoints").paths()
        older, newest = (path.read_bytes() for path in paths)
        for path in paths[rng.randrange(2) :]:
            path.write_bytes(rng.choice([damaged(newest, seed)] * 8 + [b"", older]))
        began = time.monotonic()
        try:
            found = state(folder)["counters"][0]
        except XferError as error:
            found = str(error).partition(": ")[2]
        assert time.monotonic() - began < 2
        results[found] += 1
        if isinstance(found, int):
            run(folder)
            assert_same(state(straight), state(folder))
    print(dict(results))
