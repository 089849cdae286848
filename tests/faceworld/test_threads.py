"""Shares of a batch in threads: whole, in order, and without leaving traces in torch."""

import pytest
import torch

from xfer.faceworld import native
from xfer.faceworld.factors import draw_factors
from xfer.faceworld.render import render
from xfer.faceworld.threads import in_threads


@pytest.mark.parametrize(("count", "threads"), [(1, 4), (5, 2), (8, 3), (2, 8), (7, 1)])
def test_every_row_is_worked_on_once_and_in_order(count, threads):
    shares = in_threads(lambda rows: list(range(count))[rows], count, threads)
    assert [row for share in shares for row in share] == list(range(count))
    assert len(shares) == min(count, threads)


def test_the_number_of_torch_s_threads_stays_as_it_was():
    before = torch.get_num_threads()
    seen = in_threads(lambda _: torch.get_num_threads(), 4, 2)
    assert seen == [1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.skipif(native.compiler() is None, reason="no C++ compiler here")
def test_pictures_do_not_depend_on_the_number_of_threads():
    factors, before = draw_factors(3, 5), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = render(*factors.groups, 32, compiled=True)
        torch.set_num_threads(2)
        two = render(*factors.groups, 32, compiled=True)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.picture, two.picture) and torch.equal(one.parts, two.parts)


def test_an_error_in_a_share_comes_through():
    def fail(rows):
        raise ValueError(f"row {rows.start}")

    with pytest.raises(ValueError, match="row 0"):
        in_threads(fail, 4, 2)
