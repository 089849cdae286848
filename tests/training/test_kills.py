"""Runs killed at random moments, inside a save too, end bit-equal to an undisturbed one.

pytest -m long tests/training/test_kills.py -s        prints the figures

With XFER_KILLS=FILE they are also written there, with the machine they are of.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from kill_driver import settings

from xfer.errors import BadFile
from xfer.prepare.records import Settings
from xfer.prepare.run import prepare
from xfer.runs import environment, read_json, write_json
from xfer.training.checkpoint import Checkpoints
from xfer.training.sources import open_frames
from xfer.training.world_clips import render_clips

DRIVER = Path(__file__).with_name("kill_driver.py")
STOPPED = 130
"""Exit status of a command that was told to stop and has saved."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Prepared clips of the face world, which trainings decode in a thread, a step ahead."""
    folder = tmp_path_factory.mktemp("clips")
    render_clips(folder / "videos", people=4, frames=6, size=64, preset="studio", compiled=False)
    prepare([folder / "videos"], folder / "prepared", Settings(16, landmarks="auto"))
    assert len(open_frames(folder / "prepared", 16)) >= 12
    return folder / "prepared"


class Training(NamedTuple):
    """A small run by its command."""

    frames: Path
    folder: Path
    steps: int

    def start(self):
        command = [sys.executable, str(DRIVER), *map(str, self)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, **quiet, env=os.environ | {"OMP_NUM_THREADS": "1"})

    def finish(self):
        """Run to the end; gives the final networks."""
        assert self.start().wait() == 0
        step, state = Checkpoints(self.folder).load_latest()
        assert step == self.steps
        return {
            f"{part}.{name}": v
            for part in ("ema", "generator", "discriminator")
            for name, v in state[part].items()
        }

    def stays(self):
        """How often it has begun."""
        try:
            return 1 + len(read_json(self.folder / "run.json")["resumed"])
        except BadFile:  # there is none yet
            return 0

    def newest(self):
        """Step of the newest checkpoint."""
        return max(Checkpoints(self.folder).steps(), default=0)

    def is_saving(self):
        return any((self.folder / "checkpoints").glob(".*.part"))


def wait_until(true, process, seconds=600.0, every=0.05):
    """Wait for a condition, the end of the process, or so long."""
    end = time.monotonic() + seconds
    while not true() and process.poll() is None and time.monotonic() < end:
        time.sleep(every)


def disturb(run, number, when, wait):
    """Start a run, let it begin, and signal it after a while, or inside the next save.

    Gives what came of it: whether its loop was met inside a save; None if that had ended before.
    """
    begun, before = run.stays(), run.newest()
    process = run.start()
    wait_until(lambda: run.stays() > begun, process)
    wait_until(lambda: False, process, wait)
    if when == "save":
        wait_until(run.is_saving, process, every=0.001)
    inside = run.is_saving()
    process.send_signal(number)  # nothing, if it has ended
    status = process.wait(timeout=600)
    if status in (0, -number) and run.newest() == run.steps:
        return None  # what came after the loop only exports
    if number == signal.SIGTERM:
        assert status == STOPPED and run.newest() >= min(before + 1, run.steps)
        assert read_json(run.folder / "run.json")["stopped"] == "SIGTERM"
    else:
        assert status == -signal.SIGKILL and run.newest() >= before
    return inside


def campaign(frames, folder, kills, seed, steps, longest):
    """Start, disturb, start again until the wanted number of each kind has met a live run.

    Then every run goes on to its end and is held against an undisturbed one. Gives the figures.

    Args:
        kills: How many by signal and moment.
        longest: Seconds from the beginning of a run to a signal, at most.
    """
    whole = Training(frames, folder / "whole", steps).finish()
    rng, met, starts = random.Random(seed), Counter(), 0
    runs = [Training(frames, folder / "run0", steps)]
    while wanted := [kind for kind in kills if met[kind] < kills[kind]]:
        kind = number, when = rng.choice(wanted)
        inside = disturb(runs[-1], number, when, rng.uniform(0.0, longest))
        starts += 1
        if inside is None:
            runs.append(Training(frames, folder / f"run{len(runs)}", steps))
            continue
        met["inside a save"] += inside
        met[kind] += inside or when != "save"
    ends = [run.finish() for run in runs]
    differ = [any(not torch.equal(ended[name], whole[name]) for name in whole) for ended in ends]
    return {
        "starts": starts,
        "met": {f"{number.name}, {when}": met[number, when] for number, when in kills},
        "met_inside_a_save": met["inside a save"],
        "runs_compared": len(runs),
        "runs_that_differ": sum(differ),
    }


@pytest.mark.long
def test_kills_and_terminations_at_random_moments_change_nothing(frames, tmp_path):
    kills = {
        (signal.SIGKILL, "any moment"): 40,
        (signal.SIGKILL, "save"): 20,
        (signal.SIGTERM, "any moment"): 20,
    }
    begun, steps = time.monotonic(), 100
    figures = campaign(frames, tmp_path, kills, 0, steps, longest=12.0)
    print("\n", figures)
    assert figures["runs_that_differ"] == 0
    if path := os.environ.get("XFER_KILLS"):
        figures |= {"steps": steps, "minutes": round((time.monotonic() - begun) / 60, 1)}
        write_json(path, figures | {"settings": settings(steps), "environment": environment()})


def test_one_kill_and_one_termination_change_nothing(frames, tmp_path):
    kills = {(signal.SIGKILL, "save"): 1, (signal.SIGTERM, "any moment"): 1}
    figures = campaign(frames, tmp_path, kills, 1, steps=20, longest=1.0)
    assert figures["runs_that_differ"] == 0
    assert figures["met_inside_a_save"] >= 1 and figures["met"]["SIGTERM, any moment"] == 1
