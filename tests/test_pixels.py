"""Bytes and tensors in [-1, 1], one into the other."""

import numpy as np
import torch

from xfer.pixels import from_uint8, to_uint8


def test_every_byte_survives_the_way_into_a_tensor_and_back():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(to_uint8(from_uint8(pixels)), pixels)


def test_values_beyond_the_range_are_clamped():
    images = torch.tensor([-1.5, 0.0, 9.0]).expand(1, 3, 3).reshape(1, 3, 1, 3).contiguous()
    assert to_uint8(images)[0, 0, :, 0].tolist() == [0, 128, 255]
