"""Too little memory, wherever a training meets it, is one message that names what to lower."""

import errno
import os

import numpy as np
import pytest
import torch
from test_recipes import SETTINGS
from test_train_generator import pictures, tiny

from xfer.cli import main
from xfer.errors import BadValue, RunError
from xfer.training import recipes, session
from xfer.training.checkpoint import Checkpoints
from xfer.training.memory import is_out_of_memory, memory_told
from xfer.training.train_generator import GeneratorTrainer, train_generator

SHORTAGES = {
    "NumPy": lambda: np.empty(1 << 62, np.uint8),
    "torch on a processor": lambda: torch.empty(1 << 60),
    "torch on a GPU": lambda: lacking(torch.OutOfMemoryError("CUDA out of memory. Tried to")),
    "cuBLAS": lambda: lacking(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")),
    "Python": lambda: lacking(MemoryError()),
    "the system": lambda: lacking(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
}


def lacking(error):
    raise error


@pytest.fixture(params=SHORTAGES)
def shortage(request):
    """A function of anything that runs out of memory, each in the way of another library."""
    return lambda *_, **__: SHORTAGES[request.param]()


def test_every_library_s_way_of_saying_it_is_known(shortage):
    message = "out of memory here; lower that"
    with pytest.raises(RunError, match=message) as told, memory_told("here; lower that"):
        shortage()
    assert is_out_of_memory(told.value.__cause__) and is_out_of_memory(told.value)


@pytest.mark.parametrize("other", [RuntimeError("shapes differ"), BadValue("memory"), KeyError(1)])
def test_other_errors_stay_what_they_are(other):
    with pytest.raises(type(other)) as told, memory_told("here"):
        raise other
    assert told.value is other and not is_out_of_memory(None)


def test_a_step_that_does_not_fit_names_the_batch(shortage, tmp_path, monkeypatch):
    monkeypatch.setattr(GeneratorTrainer, "generator_loss", shortage)
    with pytest.raises(RunError, match="out of memory at batch 8; lower it with --set batch=N"):
        list(train_generator(tiny(), pictures(), tmp_path))
    monkeypatch.undo()
    assert len(list(train_generator(tiny(), pictures(), tmp_path))) == 3  # the folder is free


def test_a_checkpoint_that_does_not_fit_is_no_full_disk(shortage, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", shortage)
    with pytest.raises(RunError, match="out of memory at batch 8"):
        list(train_generator(tiny(), pictures(), tmp_path))
    assert Checkpoints(tmp_path).steps() == []


def test_a_checkpoint_that_does_not_fit_back_is_no_other_network(shortage, tmp_path, monkeypatch):
    list(train_generator(tiny(2), pictures(), tmp_path))
    monkeypatch.setattr(session, "restore", shortage)
    with pytest.raises(RunError, match="out of memory at batch 8"):
        list(train_generator(tiny(4), pictures(), tmp_path))


PLACES = {
    "the pictures": (recipes, "open_frames"),
    "the networks": (GeneratorTrainer, "__init__"),
    "a step": (GeneratorTrainer, "critic_loss"),
    "a sheet": (recipes, "draw"),
    "the weights": (recipes, "write_checkpoint"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_command_tells_of_it_wherever_it_happens(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(*PLACES[place], lambda *_, **__: np.empty(1 << 62, np.uint8))
    np.save(tmp_path / "frames.npy", np.zeros((12, 8, 8, 3), np.uint8))
    arguments = ["--out", str(tmp_path / "run"), "--frames", str(tmp_path / "frames.npy")]
    arguments += ["--preset", "nano", "--device", "cpu", "--set", *SETTINGS]
    assert main(["train", "generator", *arguments]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("xfer: out of memory") and "--set batch=N" in told
