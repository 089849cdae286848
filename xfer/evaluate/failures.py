"""Where a method fails: a metric by kinds of trials, and the best and the worst of them."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from xfer.errors import expect
from xfer.evaluate.trials import Trials
from xfer.faceworld.factors import HAIR_STYLES
from xfer.metrics.intervals import mean_interval

YAW_EDGES = (10.0, 20.0, 30.0)
"""Degrees at which one kind of pose ends and the next begins."""


def metric_by(
    table: pd.DataFrame, method: str, metric: str, kinds: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Mean of a metric for every kind of trial: kind, value, low, high, n.

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
            interval = mean_interval(part.to_numpy(float), people[part.index], seed=seed)
            rows.append((kind, *interval, len(part)))
    return pd.DataFrame(rows, columns=["kind", "value", "low", "high", "n"])


def yaw_kinds(yaw_deg: Float[np.ndarray, " n"]) -> list[str]:
    """How far each driver is turned, as a kind: `yaw 10-20`, degrees to either side."""
    edges = [0.0, *YAW_EDGES]
    names = [f"yaw {low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    names.append(f"yaw over {edges[-1]:g}")
    return [names[i] for i in np.digitize(np.abs(yaw_deg), YAW_EDGES)]


def hair_kinds(trials: Trials) -> list[str]:
    """Every identity's hair style.

    Raises:
        BadValue: The trials do not know it: they are clips, not of the face world.
    """
    expect(trials.hair is not None, "hair styles are known of the face world's people only")
    return [HAIR_STYLES[int(style)] for style in trials.hair]


def best_and_worst(table: pd.DataFrame, method: str, metric: str, count: int = 6) -> list[int]:
    """The trials with the lowest numbers of a metric, then those with the highest."""
    order = _numbers(table, method, metric).dropna().sort_values(kind="stable").index
    count = min(count, len(order) // 2)
    return [*order[:count], *order[len(order) - count :]]


def _numbers(table: pd.DataFrame, method: str, metric: str) -> pd.Series:
    """The metric by trial."""
    part = table[(table["method"] == method) & (table["metric"] == metric)]
    expect(len(part), f"the table has no {metric!r} of {method!r}")
    return part.set_index("trial")["value"]
