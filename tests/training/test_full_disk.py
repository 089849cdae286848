"""A disk that is full costs the newest save and nothing else."""

import itertools

import numpy as np
import pytest
import torch
from small_disk import room_for
from test_recipes import SETTINGS
from test_train_generator import same, weights

from xfer.cli import main
from xfer.errors import RunError
from xfer.runs import Run, read_json, read_stats
from xfer.training import recipes
from xfer.training.board import Board
from xfer.training.checkpoint import Checkpoints

SIZES = [0, 1, 100, 1000, 4096, 10_000, 50_000, 100_000, 150_000, 199_000]
"""Bytes that fit; the whole checkpoint has some 200,000."""


@pytest.mark.parametrize("most", SIZES)
def test_a_save_that_runs_out_of_room_spares_the_one_before(most, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"weights": torch.ones(3)})
    told = pytest.raises(RunError, match="Make room on the disk and run again; the checkpoint")
    with told, room_for(most):
        checkpoints.save(2, {"weights": torch.arange(50_000.0)})
    step, kept = Checkpoints(tmp_path).load_latest()
    assert step == 1 and torch.equal(kept["weights"], torch.ones(3))
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"step_00000001.pt", "step_00000001.json"}


def all_but(size):
    """So many bytes fit beyond what the run's curve has already."""
    return lambda folder: (folder / "stats.jsonl").stat().st_size + size


FULL = {
    "the record, at the start": (Run, "begin", 1, lambda _: 50),
    "the record, at the end": (Run, "close", 1, lambda _: 0),
    "the curve, from its first line": (Run, "log", 1, lambda _: 0),
    "the curve, within its first line": (Run, "log", 1, lambda _: 40),
    "the curve, from its second line": (Run, "log", 2, all_but(0)),
    "the curve, within its last line": (Run, "log", 3, all_but(70)),
    "TensorBoard's curves": (Board, "show", 2, lambda _: 0),
    "the first checkpoint": (Checkpoints, "save", 1, lambda _: 30_000),
    "the second checkpoint": (Checkpoints, "save", 2, lambda _: 1),
    "the end of the third checkpoint": (Checkpoints, "save", 3, lambda at: largest(at) * 9 // 10),
    "a strip": (recipes, "write_picture", 1, lambda _: 10),
    "a sheet": (recipes, "save_figure", 1, lambda _: 1000),
    "the last sheet": (recipes, "save_figure", 2, lambda _: 1000),
    "the weights": (recipes, "write_checkpoint", 1, lambda _: 9000),
}
"""Whose call meets a full disk, which one of them, and how long files may then be."""


def largest(folder):
    return max(path.stat().st_size for path in (folder / "checkpoints").iterdir())


def fill(monkeypatch, folder, owner, name, number, most):
    """Let one call of a function meet a full disk."""
    whole, calls = getattr(owner, name), itertools.count(1)

    def call(*given, **named):
        if next(calls) != number:
            return whole(*given, **named)
        with room_for(most(folder)):
            return whole(*given, **named)

    monkeypatch.setattr(owner, name, call)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A training by its command, without its folder."""
    path = tmp_path_factory.mktemp("frames") / "frames.npy"
    rng = np.random.default_rng(0)
    np.save(path, rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8))
    return [
        "train", "generator", "--frames", str(path), "--preset", "nano", "--device", "cpu",
        "--set", *SETTINGS, "sheet_kimg=0.032", "--out",
    ]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_sheets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "SHEET_SEEDS", range(8))
        yield


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """What the training gives on a disk with room."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*arguments, str(out)]) == 0
    return weights(out)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("case", FULL)
def test_a_run_tells_of_a_full_disk_and_goes_on_when_there_is_room(
    case, arguments, whole, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        fill(patch, out, *FULL[case])
        assert main([*arguments, str(out)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("xfer: ") and "Make room on the disk and run again" in told
    assert [record["step"] for record in read_stats(out)] == [2, 4, 6][: len(read_stats(out))]
    assert not list(out.rglob("*.part"))
    assert main([*arguments, str(out)]) == 0
    assert same(weights(out), whole) and read_json(out / "run.json")["hours"] >= 0
    assert [record["step"] for record in recipes.history(out)] == [2, 4, 6]
    assert (out / "generator.safetensors").exists() and list((out / "sheets").glob("*.png"))
