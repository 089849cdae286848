"""A training that is killed over and over; XFER_FAULTS scales how often (1.0: 60 times)."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from xfer.runs import Checkpoints
from xfer.training.loop import train

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from test_loop import assert_same, run, state
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
