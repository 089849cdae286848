"""Faults of a training, in numbers: kills, damaged checkpoints, numbers that are not finite.

Some three minutes; XFER_FAULTS scales how many (1.0: 60 kills, 300 damages, 30 runs).
"""

import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from xfer.runs import Checkpoints
from xfer.training.loop import train

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from test_loop import STEPS, assert_same, run, state
from toy import ToyConfig, ToyTask

pytestmark = pytest.mark.long

MANY = float(os.environ.get("XFER_FAULTS", "1.0"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    run(folder)
    return folder


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


def test_any_damage_falls_back_to_the_checkpoint_before(tmp_path):
    run(tmp_path / "sound", kimg=0.04)
    older = Checkpoints(tmp_path / "sound" / "checkpoints").paths()[0]
    wanted = torch.load(older, weights_only=True)
    rng = random.Random(0)
    for trial in range(round(300 * MANY)):
        folder = tmp_path / "damaged"
        shutil.copytree(tmp_path / "sound", folder)
        newest = Checkpoints(folder / "checkpoints").paths()[1]
        data = bytearray(newest.read_bytes())
        place = rng.randrange(len(data))
        span = slice(place, place + rng.randrange(1, 200))
        match trial % 4:
            case 0:
                data = data[:place]
            case 1:
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[span] = bytes(b ^ 0xFF for b in data[span])
            case 3:
                data += rng.randbytes(rng.randrange(1, 200))
        newest.write_bytes(data)
        found = state(folder)
        assert found["counters"][0] == 5
        assert_same(wanted["networks"], found["networks"])
        shutil.rmtree(folder)


def test_a_run_with_bad_steps_is_the_run_without_those_steps(tmp_path):
    rng = random.Random(0)
    for trial in range(round(30 * MANY)):
        bad = tuple(sorted(rng.sample(range(STEPS), rng.randrange(1, 9))))
        run(tmp_path / str(trial), bad_steps=bad)
        expected = ToyTask(ToyConfig())
        for step in set(range(STEPS)) - set(bad):
            expected.step(step, expected.batch(step))
            expected.average(step)
        found = state(tmp_path / str(trial))
        assert found["counters"][1] == len(bad)
        for kind, parts in expected.parts().items():
            for name, part in parts.items():
                assert_same(part.state_dict(), found[kind][name])
