"""The loop: resuming, damage, signals, numbers that are not finite, several processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import ToyConfig, ToyTask
from waiting import wait

from xfer.errors import BadFile, RunError, Stopped
from xfer.runs import Checkpoints, read_stats
from xfer.training.distributed import normal, rng
from xfer.training.loop import train

TOY = Path(__file__).with_name("toy.py")
STEPS = 20
"""Of the toy's configuration; a checkpoint every 5."""


def run(folder, world=None, **settings):
    train(ToyTask(ToyConfig(**settings), world), folder)


def state(folder):
    return Checkpoints(folder / "checkpoints").newest()


def assert_same(one, other, tolerance=0.0):
    """All but the counters, one of which is the time."""
    lasting = lambda found: {name: part for name, part in found.items() if name != "counters"}
    torch.testing.assert_close(lasting(one), lasting(other), rtol=0, atol=tolerance)


def launch(folder, *settings, **variables):
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOY.parents[2])} | variables
    command = [sys.executable, str(TOY), str(folder), *settings]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    run(folder)
    return folder


def test_the_loss_falls_and_everything_is_recorded(tmp_path):
    run(tmp_path, kimg=0.8, learning_rate=1e-2)
    losses = [line["loss"] for line in read_stats(tmp_path)]
    assert losses[-1] < losses[0] / 2
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["config"]["batch"] == 4 and record["versions"]["torch"]
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] == 200
    assert list((tmp_path / "tensorboard").iterdir())


def assert_resumed_equals_straight(make, folder, kimg, part):
    """Bit for bit; `make` gives a task of a budget."""
    for budget, name in ((kimg, "straight"), (part, "parts"), (kimg, "parts")):
        train(make(budget), folder / name)
    assert_same(state(folder / "straight"), state(folder / "parts"))


@pytest.mark.parametrize("optimiser", ["adam", "ranger"])
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(tmp_path, optimiser):
    make = lambda kimg: ToyTask(ToyConfig(optimiser=optimiser, kimg=kimg))
    assert_resumed_equals_straight(make, tmp_path, 0.08, 0.028)
    steps = [line["step"] for line in read_stats(tmp_path / "parts")]
    assert steps == sorted(set(steps)) and steps[-1] == STEPS


def test_a_killed_run_loses_at_most_an_interval(tmp_path, straight):
    process = launch(tmp_path, "pause_s=0.02")
    wait(lambda: list((tmp_path / "checkpoints").glob("step_*")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 5 <= state(tmp_path)["counters"][0] < STEPS
    run(tmp_path, pause_s=0.02)
    assert_same(state(straight), state(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, straight, damage, capsys):
    run(tmp_path, kimg=0.04)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    newest = checkpoints.paths()[1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b""}[damage])
    assert state(tmp_path)["counters"][0] == 5
    assert "damaged" in capsys.readouterr().err
    run(tmp_path)
    assert [torch.load(path)["counters"][0] for path in checkpoints.paths()] == [15, 20]
    assert_same(state(straight), state(tmp_path))
    for path in checkpoints.paths():
        path.write_bytes(b"")
    with pytest.raises(BadFile, match="all checkpoints"):
        run(tmp_path)


def test_a_run_with_bad_steps_is_the_run_without_them_and_counts_them(tmp_path):
    bad = (3, 4, 11)
    run(tmp_path, bad_steps=bad)
    assert read_stats(tmp_path)[-1]["skipped"] == 3
    expected = ToyTask(ToyConfig())
    for step in sorted(set(range(STEPS)) - set(bad)):
        expected.step(step, expected.batch(step))
        expected.average(step)
    for kind, parts in expected.parts().items():
        for name, part in parts.items():
            assert_same(part.state_dict(), state(tmp_path)[kind][name])


def test_ten_bad_steps_in_a_row_end_a_run_and_its_checkpoint_is_sound(tmp_path):
    with pytest.raises(RunError, match="10 steps in a row"):
        run(tmp_path, bad_steps=tuple(range(7, 20)))
    run(tmp_path / "before", kimg=0.028)
    assert_same(state(tmp_path)["networks"], state(tmp_path / "before")["networks"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_saves_and_raises(tmp_path, straight, number):
    class Stopping(ToyTask):
        def step(self, step, images):
            if step == 7:
                os.kill(os.getpid(), number)
            return super().step(step, images)

    handler = signal.getsignal(number)
    with pytest.raises(Stopped, match=signal.Signals(number).name):
        train(Stopping(ToyConfig()), tmp_path)
    assert signal.getsignal(number) is handler
    assert state(tmp_path)["counters"][0] == 8
    run(tmp_path)
    assert_same(state(straight), state(tmp_path))


def test_other_settings_are_refused_and_longer_budgets_are_not(tmp_path):
    run(tmp_path, kimg=0.04)
    before = Checkpoints(tmp_path / "checkpoints").paths()
    run(tmp_path, kimg=0.04)  # a finished run is left as it is
    assert Checkpoints(tmp_path / "checkpoints").paths() == before and len(before) == 2
    with pytest.raises(RunError, match="batch was 4, not 8"):
        run(tmp_path, batch=8)
    run(tmp_path, kimg=0.06, save_kimg=0.04)
    assert state(tmp_path)["counters"][0] == 15
    shutil.rmtree(tmp_path / "checkpoints")  # where nothing was learned, nothing is in the way
    run(tmp_path, batch=8)


def test_a_budget_of_hours_ends_a_run(tmp_path):
    run(tmp_path, hours=0.5 / 3600, kimg=1000.0, pause_s=0.05)
    record = read_stats(tmp_path)[-1]
    assert 0.5 / 3600 <= record["hours"] < 2 / 3600
    run(tmp_path, hours=0.5 / 3600, kimg=1000.0, pause_s=0.05)
    assert read_stats(tmp_path)[-1]["step"] == record["step"]


def test_two_processes_equal_one(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    words = "double=1", "learning_rate=0.01", "clip=1.0"
    both = [launch(tmp_path / "two", *words, **meeting, RANK=rank) for rank in "01"]
    for process in (*both, launch(tmp_path / "one", *words)):
        _, message = process.communicate(timeout=120)
        assert process.returncode == 0, message.decode()[-2000:]
    assert_same(state(tmp_path / "one"), state(tmp_path / "two"), tolerance=1e-3)


def test_random_numbers_belong_to_a_seed_a_step_and_a_sample():
    rows = normal([rng(0, "z", 3, sample) for sample in range(4)], 5)
    assert torch.equal(rows[2:], normal([rng(0, "z", 3, sample) for sample in (2, 3)], 5))
    assert not torch.equal(rows, normal([rng(1, "z", 3, sample) for sample in range(4)], 5))
