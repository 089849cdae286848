"""Devices are known by name, and one that is not there is refused in one sentence."""

import pytest
import torch

from xfer.devices import best_device
from xfer.errors import BadValue


@pytest.fixture
def bare(monkeypatch):
    """A machine without any GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_the_cpu_where_there_is_no_gpu(bare):
    assert best_device() == best_device("cpu") == torch.device("cpu")


def test_a_gpu_is_taken_by_its_number_if_there_are_so_many(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert best_device() == torch.device("cuda") and best_device("cuda:1").index == 1
    with pytest.raises(BadValue, match=r"device cuda:2 needs .*; 2 can be used here"):
        best_device("cuda:2")


REFUSED = {
    "cuda": "device cuda needs an NVIDIA GPU",
    "mps": "device mps needs a Mac",
    "meta": "a device is auto, cpu, cuda or mps; got 'meta'",
    "gpu": "a device is auto, cpu, cuda or mps; got 'gpu'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name, bare):
    with pytest.raises(BadValue, match=REFUSED[name]):
        best_device(name)
