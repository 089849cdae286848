"""Devices are known by name, and one that is not there is refused in one sentence."""

import pytest
import torch

from xfer.devices import best_device
from xfer.errors import BadValue


def test_auto_is_a_gpu_where_there_is_one_else_the_cpu():
    assert best_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "meta", "gpu"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name):
    with pytest.raises(BadValue, match=f"^[^\\n]*{name}[^\\n]*$"):
        best_device(name)
