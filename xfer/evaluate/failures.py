"""Where methods fail: metrics by kinds of trials, and the best and the worst cases of a method."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from xfer.errors import expect
from xfer.evaluate.summary import more_is_better
from xfer.evaluate.table import TRUE
from xfer.evaluate.trials import Trials
from xfer.faceworld.factors import HAIR_STYLES
from xfer.metrics.intervals import mean_interval

YAW_EDGES = (10.0, 20.0, 30.0)
"""Degrees at which one kind of pose ends and the next begins."""
BY_KIND = ("yaw_deg_error", "expression_error", "cosine_photo", "perceptual_face", "psnr_face")
"""What is told of every kind of trial, as far as it is known."""
CASES_BY = ("perceptual_face", "perceptual", "expression_error", "yaw_deg_error", "cosine_photo")
"""What decides on the best and the worst cases: the first of these that is known."""


def kinds_of(table: pd.DataFrame, trials: Trials) -> dict[str, list[str]]:
    """The kind of every trial, by what they are sorted by: pose, and hair where it is known."""
    kinds = {"pose": pose_kinds(table)}
    return kinds if trials.hair is None else kinds | {"hair": hair_kinds(trials)}


def by_kind(
    table: pd.DataFrame, methods: Sequence[str], kinds: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Means of what is known of `BY_KIND`: method, metric, then columns as of `metric_by`."""
    known = {name: set(table.loc[table["method"] == name, "metric"]) for name in methods}
    parts = [
        metric_by(table, method, metric, kinds, seed).assign(method=method, metric=metric)
        for method in methods
        for metric in BY_KIND
        if metric in known[method]
    ]
    found = pd.concat(parts, ignore_index=True)
    return found[["method", "metric", *found.columns.drop(["method", "metric"])]]


def metric_by(
    table: pd.DataFrame, method: str, metric: str, kinds: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Mean of a metric for every kind of trial: kind, value, low, high, n, people.

    An interval needs several people; where there is one, its ends are not known.

    Args:
        table: As of `evaluate`.
        kinds: One a trial, in the trials' order.
    """
    numbers = _numbers(table, method, metric)
    expect(
        len(kinds) > int(numbers.index.max()),
        f"every trial has a kind; got {len(kinds)} for {int(numbers.index.max()) + 1}",
    )
    people = np.asarray(table.attrs["people"])
    kinds = np.asarray(kinds, dtype=str)
    rows = []
    for kind in sorted(set(kinds)):
        part = numbers[kinds[numbers.index] == kind].dropna()
        if len(part):
            owners = people[part.index]
            found, count = mean_interval(part.to_numpy(float), owners, seed=seed), len(set(owners))
            ends = found[1:] if count > 1 else (np.nan, np.nan)
            rows.append((kind, found.value, *ends, len(part), count))
    return pd.DataFrame(rows, columns=["kind", "value", "low", "high", "n", "people"])


def pose_kinds(table: pd.DataFrame) -> list[str]:
    """Of every trial how far its driver is turned: truly, or as the judge reads it."""
    # The truth of a trial is the same for all methods.
    turned = _numbers(table, table["method"].iloc[0], "yaw_deg" + TRUE)
    return yaw_kinds(turned.sort_index().to_numpy(float))


def yaw_kinds(yaw_deg: Float[np.ndarray, " n"]) -> list[str]:
    """How far each driver is turned, as a kind: `yaw 10-20`, degrees to either side."""
    edges = [0.0, *YAW_EDGES]
    names = [f"yaw {low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    names.append(f"yaw over {edges[-1]:g}")
    found = np.digitize(np.abs(yaw_deg), YAW_EDGES)
    return [
        "yaw unknown" if np.isnan(yaw) else names[i] for yaw, i in zip(yaw_deg, found, strict=True)
    ]


def hair_kinds(trials: Trials) -> list[str]:
    """Every identity's hair style.

    Raises:
        BadValue: The trials do not know it: they are clips, not of the face world.
    """
    expect(trials.hair is not None, "hair styles are known of the face world's people only")
    return [HAIR_STYLES[int(style)] for style in trials.hair]


def case_metric(table: pd.DataFrame, method: str) -> str:
    """By which metric cases are called good or bad: the first of `CASES_BY` with two numbers."""
    counts = table[table["method"] == method].groupby("metric")["value"].count()
    known = [name for name in CASES_BY if counts.get(name, 0) >= 2]
    expect(known, f"the table has none of {', '.join(CASES_BY)} of {method!r}")
    return known[0]


def best_and_worst(table: pd.DataFrame, method: str, metric: str, count: int = 6) -> list[int]:
    """The best trials by a metric, the very best first; then the worst, the very worst last."""
    numbers = _numbers(table, method, metric).dropna()
    order = numbers.sort_values(ascending=not more_is_better(metric), kind="stable").index
    count = min(count, len(order) // 2)
    return [*order[:count], *order[len(order) - count :]]


def _numbers(table: pd.DataFrame, method: str, metric: str) -> pd.Series:
    """The metric by trial."""
    part = table[(table["method"] == method) & (table["metric"] == metric)]
    expect(len(part), f"the table has no {metric!r} of {method!r}")
    return part.set_index("trial")["value"]
