"""Rows of a batch side by side: one thread for each share, none of them sharing an operation.

Rendering is many small operations; spread over threads one by one they wait for one another most of
the time. Whole shares of a batch do not, and what a row gives does not depend on its share.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Share = TypeVar("Share")


def in_threads(work: Callable[[slice], Share], count: int, threads: int) -> list[Share]:
    """`work` on every share of `count` rows, at most `threads` at a time; results in order."""
    shares = min(count, threads)
    if shares <= 1:
        return [work(slice(0, count))]
    before = torch.get_num_threads()
    edges = [count * i // shares for i in range(shares + 1)]
    rows = [slice(start, stop) for start, stop in pairwise(edges)]
    try:
        return list(_pool(os.getpid(), threads).map(torch.no_grad()(work), rows))
    finally:
        torch.set_num_threads(before)  # the new threads' choice reaches beyond them in part


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process (those of a parent do not survive a fork), one core each."""
    return ThreadPoolExecutor(threads, initializer=_take_one_core)


def _take_one_core() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # the first question settles the answer for this thread
