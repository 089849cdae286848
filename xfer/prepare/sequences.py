"""Numbered pictures: whether they are the frames of one clip, and in which order."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from xfer.errors import BadFile
from xfer.media.pictures import read_pixels
from xfer.media.quality import CutFinder

LEAST_SEQUENCE = 5
"""So many consecutively numbered pictures in a folder are taken for the frames of one clip."""
NUMBER = re.compile(r"([0-9]+)")


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Sorted with numbers by their value: frame2 comes before frame10."""

    def key(path: Path) -> tuple[list[str | int], str]:
        parts = NUMBER.split(path.stem)
        return [int(p) if place % 2 else p for place, p in enumerate(parts)], path.name

    return sorted(paths, key=key)


def count_up(paths: Sequence[Path]) -> bool:
    """Whether they share one name but for a number at its end, which counts up evenly."""
    parts = [re.fullmatch(r"(.*?)([0-9]+)", path.stem, re.DOTALL) for path in paths]
    if len(paths) < LEAST_SEQUENCE or not all(parts):
        return False
    numbers = sorted(int(part[2]) for part in parts)
    steps = {b - a for a, b in pairwise(numbers)}
    return len({part[1] for part in parts}) == 1 and len(steps) == 1 and steps != {0}


def look_apart(paths: Sequence[Path]) -> bool:
    """Whether most neighbours differ in size or like the two sides of a cut, as portraits do.

    Only three pairs are read, the first, the middle and the last one: folders may be many.
    """
    paths = in_order(paths)
    last = len(paths) - 2
    apart = [_differ(*paths[start : start + 2]) for start in sorted({0, last // 2, last})]
    known = [answer for answer in apart if answer is not None]
    return sum(known) > len(known) / 2


def _differ(one: Path, other: Path) -> bool | None:
    """Whether no clip shows the one after the other; None where one of them is damaged."""
    try:
        first, second = read_pixels(one), read_pixels(other)
    except BadFile:
        return None
    cuts = CutFinder()
    cuts.is_cut(first)
    return first.shape != second.shape or cuts.is_cut(second)
