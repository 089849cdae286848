"""Runs killed at random moments, inside a save too, end bit-equal to an undisturbed one.

pytest -m long tests/training/test_kills.py -s        prints the figures
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from kill_driver import STEPS

from xfer.training.checkpoint import Checkpoints

DRIVER = Path(__file__).with_name("kill_driver.py")


def start(folder):
    return subprocess.Popen([sys.executable, str(DRIVER), str(folder)], stdout=subprocess.DEVNULL)


def saving(folder):
    return any((folder / "checkpoints").glob(".*.part"))


def disturb(process, folder, number, when, rng):
    """Send a signal at a random moment, or inside a save. Returns whether it hit a live run."""
    begun = time.monotonic()
    wait = rng.uniform(0.5, 9.0)
    while process.poll() is None and time.monotonic() - begun < wait:
        time.sleep(0.005)
    while when == "save" and process.poll() is None and not saving(folder):
        time.sleep(0.0002)
    inside = saving(folder)
    alive = process.poll() is None
    if alive:
        process.send_signal(number)
    process.wait(timeout=120)
    return alive, inside


def final(folder):
    step, state = Checkpoints(folder).load_latest()
    assert step == STEPS
    return {
        f"{part}.{name}": v
        for part in ("ema", "generator", "discriminator")
        for name, v in state[part].items()
    }


def campaign(folder, kills, seed):
    """Start, disturb, start again until the wanted number of each kind has hit a live run."""
    rng, hits, runs, inside_saves = random.Random(seed), dict.fromkeys(kills, 0), 0, 0
    finished = []
    while any(hits[kind] < kills[kind] for kind in kills):
        target = folder / f"run{len(finished)}"
        kind = rng.choice([k for k in kills if hits[k] < kills[k]])
        number, when = kind
        alive, inside = disturb(start(target), target, number, when, rng)
        runs += 1
        inside_saves += alive and inside
        hits[kind] += alive and (inside or when != "save")
        if not alive:  # it came to its end: go on with a fresh folder
            finished.append(target)
    last = folder / f"run{len(finished)}"
    start(last).wait()
    return [*finished, last], {"starts": runs, "inside a save": inside_saves} | {
        f"{number.name} {when}": n for (number, when), n in hits.items()
    }


@pytest.mark.long
def test_kills_and_terminations_at_random_moments_change_nothing(tmp_path):
    start(tmp_path / "whole").wait()
    expected = final(tmp_path / "whole")
    kills = {
        (signal.SIGKILL, "any"): 40,
        (signal.SIGKILL, "save"): 20,
        (signal.SIGTERM, "any"): 20,
    }
    folders, facts = campaign(tmp_path, kills, seed=0)
    print("\n", facts, f"{len(folders)} finished runs compared")
    for folder in folders:
        ended = final(folder)
        assert all(torch.equal(ended[name], expected[name]) for name in expected), folder


def test_one_kill_and_one_termination_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    start(tmp_path / "whole").wait()
    folders, facts = campaign(
        tmp_path, {(signal.SIGKILL, "save"): 1, (signal.SIGTERM, "any"): 1}, seed=1
    )
    assert facts["inside a save"] >= 1
    expected = final(tmp_path / "whole")
    for folder in folders:
        ended = final(folder)
        assert all(torch.equal(ended[name], expected[name]) for name in expected)
