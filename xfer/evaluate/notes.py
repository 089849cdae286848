"""What a reader must know beside the numbers."""

from pathlib import Path
from typing import Any

import pandas as pd

from xfer.datasets.clips import Clips
from xfer.evaluate.judges import Judge
from xfer.evaluate.trials import Trials


def notes(
    table: pd.DataFrame, steady: pd.DataFrame | None, trials: Trials, judge: Judge, judges: str,
    clips: Clips | None,
) -> list[str]:  # fmt: skip
    """Who was asked, who judged and how well, and what sets and clips are compared with."""
    people = len(set(table.attrs["people"]))
    errors = ", ".join(f"{k} {v:g}" for k, v in table.attrs["judge_errors"].items())
    return [
        f"{trials.mode}-reenactment, {len(trials)} trials of {people} {whom(clips)}; "
        "means with 95% bootstrap intervals over people.",
        f"Judged by {Path(judges).name}; its own errors on unseen people: {errors or 'not known'}.",
        _on_sets(table.attrs["frechet"]),
        _on_jitter(steady),
        *judge.notes,
    ]


def whom(clips: Clips | None) -> str:
    """What kind of people are asked about; of a folder of clips nobody knows who saw whom."""
    if clips is None:
        return "unseen people"
    return f"people (splits: {', '.join(sorted(clips.index['split'].unique()))})"


def _on_sets(known: dict[str, Any]) -> str:
    halves = known["halves"]
    floor = (
        "" if halves is None else f" Two halves of them, of other people, lie {halves:.3g} apart."
    )
    return (
        f"frechet: squared distance from the {known['pictures']} {known['against']}, as sets, in "
        "the judging recogniser's features, give or take 1.96 standard errors of the bootstrap."
        f"{floor} Smaller sets lie further apart."
    )


def _on_jitter(steady: pd.DataFrame | None) -> str:
    if steady is None:
        return "jitter: not measured; no clip has three consecutive frames."
    clips, true = steady["trial"].nunique(), steady.attrs.get("true_jitter")
    exact = "" if true is None else f" The truth's own points, exactly: {true:.3g}."
    return (
        f"jitter: second differences of the judge's 68 points over {clips} smooth clips, root mean "
        "square, in distances of the eyes. More than in truth or driver is unrest, less is motion "
        f"that is missing.{exact}"
    )


def on_speed(known: dict[str, Any]) -> str:
    """How fast the methods were, and where."""
    rates = ", ".join(f"{name} {rate:g}" for name, rate in known["frames_a_second"].items())
    return (
        f"Frames a second of the networks, one at a time, the identity known beforehand: {rates} "
        f"({known['device']}, threads: {known['threads']}, {known['processor']})."
    )
