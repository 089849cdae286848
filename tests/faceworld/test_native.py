"""Compiled kernels against the functions they were made from."""

import pytest
import torch

from xfer.errors import MissingPackage
from xfer.faceworld import native
from xfer.faceworld.cpp import source
from xfer.faceworld.factors import draw_factors
from xfer.faceworld.lowering import lower
from xfer.faceworld.render import render

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C++ compiler here")


def wavy(person, x, y):
    """A little of everything that fields use."""
    a, b = person.unbind(0)
    near = torch.where((x > a) & (y < b), x.abs().sqrt(), torch.minimum(x, y) * b)
    stacked = torch.stack([x, y, near])
    turned = torch.atan2(y, x) + torch.acos((x * 0.1).clamp(-1, 1)) + torch.exp2(y)
    return torch.stack([near, turned]), stacked.argmin(0).float() + torch.log2(x.square() + 1)


@needs_compiler
@pytest.mark.parametrize("count", [1, 7, 5000])
def test_a_compiled_function_gives_what_its_source_gives(count):
    rng = torch.Generator().manual_seed(0)
    person, x, y = (
        torch.randn(*s, generator=rng) for s in ((2, 3, 1), (3, count), (3, count))
    )  # fmt: skip
    found, expected = native.Kernel(wavy, [(2,)], 2)(person, x, y), wavy(person, x, y)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)


def test_lines_that_depend_on_the_person_alone_stand_before_the_loop():
    lowered = lower(lambda person, x: (person[0] * person[1]).sqrt() + x, [(2,)], 1)
    before, loop = source(lowered).split("for (long i")
    assert "std::sqrt" in before.split("kernel(")[1] and "std::sqrt" not in loop
    assert lowered.shapes == [()] and lowered.single


def test_what_cannot_be_written_out_is_named():
    with pytest.raises(NotImplementedError, match="cumsum"):
        lower(lambda x: x.cumsum(1), [], 1)


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(native, "compiler", lambda: None)
    with pytest.raises(MissingPackage, match="g\\+\\+ or clang"):
        native.Kernel(wavy, [(2,)], 2)


@needs_compiler
def test_compiled_and_plain_pictures_agree_within_two_grey_levels():
    factors = draw_factors(4, seed=7, yaw_deg=40)
    plain = render(*factors.groups, 96, aligned=True)
    compiled = render(*factors.groups, 96, aligned=True, compiled=True)
    difference = (plain.picture - compiled.picture).abs().amax(1) * 127.5
    assert (difference <= 2).float().mean() >= 0.999
    assert (plain.landmarks - compiled.landmarks).abs().max() < 0.01


@needs_compiler
def test_compiled_pictures_repeat_and_do_not_depend_on_batch_or_threads():
    factors, threads = draw_factors(3, seed=8), torch.get_num_threads()
    together = render(*factors.groups, 64, compiled=True).picture
    assert torch.equal(together, render(*factors.groups, 64, compiled=True).picture)
    try:
        torch.set_num_threads(3 - min(threads, 2))
        alone = render(*factors.index([1]).groups, 64, compiled=True).picture
    finally:
        torch.set_num_threads(threads)
    assert (alone[0] - together[1]).abs().max() < 1e-4
