"""Lowered functions as NumPy calls, against the functions they were made from."""

import numpy as np
import pytest
import torch

from xfer.faceworld import keeping
from xfer.faceworld.factors import draw_factors
from xfer.faceworld.kernels import PLAIN
from xfer.faceworld.lowering import lower
from xfer.faceworld.measures import MEASURES, pack
from xfer.faceworld.numpy_lines import plan
from xfer.faceworld.rig import build_rig
from xfer.faceworld.straight import Straight


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping.pooch, "os_cache", lambda _: tmp_path)


def every_kind(person, x, y):
    """A little of everything that fields use, and results that are no new numbers."""
    a, b = person.unbind(0)
    near = torch.where((x > a) & (y < b), x.abs().sqrt(), torch.minimum(x, y) * b)
    stacked = torch.stack([x, y, near])
    turned = torch.atan2(y, x) + torch.acos((x * 0.1).clamp(-1, 1)) + torch.exp2(y)
    edge = (x >= y).float() - (x <= a).float() + (x * x + 1).rsqrt() + 1 / (y.abs() + 1)
    log = torch.log2(x.square() + 1) - torch.floor(x) * torch.sign(y) - (-x) ** 3
    return torch.stack([near, turned, edge]), stacked.argmin(0).float() + log, y, a * b + 0 * x


@pytest.mark.parametrize("count", [1, 7, 20_000])
def test_it_gives_what_its_source_gives_whole_or_in_blocks(count):
    rng = torch.Generator().manual_seed(0)
    person, x, y = (
        torch.randn(*s, generator=rng) for s in ((2, 3, 1), (3, count), (3, count))
    )  # fmt: skip
    found, expected = Straight(every_kind, [(2,)], 2)(person, x, y), every_kind(person, x, y)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_only_roots_differ_from_what_torch_computes():
    def no_roots(person, x, y):
        return person[0] * x - 0.3 * y, (x / y).clamp(-1, 2) * (3 - 2 * x)

    person, x, y = torch.rand(1, 4, 1), torch.randn(4, 500), torch.rand(4, 500) + 0.1
    for one, other in zip(
        Straight(no_roots, [(1,)], 2)(person, x, y), no_roots(person, x, y), strict=True
    ):
        assert torch.equal(one, other)


def test_a_face_s_skin_is_the_same_and_what_was_traced_is_kept(tmp_path, monkeypatch):
    factors = draw_factors(2, 3)
    rig = pack(build_rig(factors.identity, factors.motion))
    x, y = (torch.rand(2, 40) - 0.5 for _ in range(2))
    z = torch.full_like(x, 1.0)
    first = Straight(PLAIN.fall, [(MEASURES,)], 3)(rig, x, y, z)
    torch.testing.assert_close(first, PLAIN.fall(rig, x, y, z), rtol=0, atol=1e-6)
    monkeypatch.setattr("xfer.faceworld.straight.lower", None)
    assert torch.equal(first, Straight(PLAIN.fall, [(MEASURES,)], 3)(rig, x, y, z))


def test_a_spoilt_or_forbidden_cache_is_no_hindrance(tmp_path):
    person, x = torch.ones(1, 1, 1), torch.ones(1, 3)
    double = lambda person, x: person[0] * x * 2
    Straight(double, [(1,)], 1)
    for path in (tmp_path / "faceworld").glob("*.json"):
        path.write_text("{")
    assert Straight(double, [(1,)], 1)(person, x).tolist() == [[2.0, 2.0, 2.0]]


def test_memory_is_used_again():
    def long_sum(person, x):
        for _ in range(50):
            x = (x * 1.5 + person[0]).abs()
        return x

    assert plan(lower(long_sum, [(1,)], 1)).slots == 1
    assert np.isfinite(Straight(long_sum, [(1,)], 1)(torch.ones(1, 1, 1), torch.ones(1, 4))).all()
