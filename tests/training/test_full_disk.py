"""A disk that is full costs the newest save and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xfer.training.checkpoint import Checkpoints

SIZES = [0, 1, 100, 1000, 4096, 10_000, 50_000, 100_000, 150_000, 199_000]
"""Bytes that fit; the whole checkpoint has some 200,000."""

SAVE = """
import json, resource, signal, sys, torch
from pathlib import Path
from xfer.errors import RunError
from xfer.training.checkpoint import Checkpoints
folder, told = Path(sys.argv[1]), {}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails instead of the process
for most in json.loads(sys.argv[2]):
    checkpoints = Checkpoints(folder / str(most))
    checkpoints.save(1, {"weights": torch.ones(3)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        checkpoints.save(2, {"weights": torch.arange(50_000.0)})
    except RunError as error:
        told[most] = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Folders in which the system refused every byte of a file beyond a size, and what was said."""
    pytest.importorskip("resource", reason="the system has no limits on file sizes")
    folder = tmp_path_factory.mktemp("full")
    done = subprocess.run(
        [sys.executable, "-c", SAVE, str(folder), json.dumps(SIZES)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("most", SIZES)
def test_a_save_that_runs_out_of_room_spares_the_one_before(most, full):
    folder, told = full
    assert "Make room on the disk and run again" in told[str(most)]
    step, kept = Checkpoints(folder / str(most)).load_latest()
    assert step == 1 and torch.equal(kept["weights"], torch.ones(3))
    left = {path.name for path in (folder / str(most) / "checkpoints").iterdir()}
    assert left == {"step_00000001.pt", "step_00000001.json"}
