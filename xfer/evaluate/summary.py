"""From one number a trial to what they say together: means with intervals, and paired tests."""

import numpy as np
import pandas as pd

from xfer.errors import expect
from xfer.evaluate.table import READ, TRUE
from xfer.metrics import intervals

MORE_IS_BETTER = ("psnr", "ssim", "cosine", "accepted", "dlib_accepted", "dlib_found")
"""Beginnings of names of metrics; of all others but correlations less is better."""


def summarise(table: pd.DataFrame, share: float = 0.95, seed: int = 0) -> pd.DataFrame:
    """Means, correlations and the median rank with intervals: method, metric, value, low, high, n.

    Trials of one person are drawn together; n counts the trials that have a number. Distances of
    whole sets follow after all methods.
    """
    people = np.asarray(table.attrs["people"])
    rows = []
    for method, part in table.groupby("method", sort=False):
        wide = part.pivot(index="trial", columns="metric", values="value")[part.metric.unique()]
        for metric in wide:
            if metric.endswith(TRUE):
                continue
            kind, columns = _kind(metric)
            values = wide[columns].dropna()
            if len(values) < 2:
                continue
            given = [values[column].to_numpy(float) for column in columns]
            interval = kind(*given, people[values.index], share=share, seed=seed)
            rows.append((method, _name(metric), *interval, len(values)))
    rows += map(tuple, table.attrs.get("sets", []))
    summary = pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high", "n"])
    summary.attrs = dict(table.attrs)
    return summary


def compare(table: pd.DataFrame, first: str, seed: int = 0) -> pd.DataFrame:
    """One method against every other, trial by trial: other, metric, value, low, high, p.

    The value is the mean of `first` minus the other's, or its correlation minus the other's.
    """
    known = list(table["method"].unique())
    expect(first in known, f"the table has the methods {', '.join(known)}; got '{first}'")
    people = np.asarray(table.attrs["people"])
    wide = table.pivot(index="trial", columns=["method", "metric"], values="value")
    rows = []
    for other in (name for name in known if name != first):
        for metric in table.loc[table["method"] == other, "metric"].unique():
            if metric.endswith(TRUE) or (first, metric) not in wide:
                continue
            test, name = intervals.paired_difference, metric
            columns = [(first, metric), (other, metric)]
            if metric.endswith(READ):
                test, name = intervals.paired_correlations, _name(metric)
                columns.append((first, _truth_of(metric)))
            values = wide[columns].dropna()
            if len(values) >= 2:
                gap = test(*values.to_numpy(float).T, people[values.index], seed=seed)
                rows.append((other, name, *gap))
    return pd.DataFrame(rows, columns=["other", "metric", "value", "low", "high", "p"])


def more_is_better(metric: str) -> bool:
    """Whether a larger number of a metric is the better one."""
    return metric.endswith("_r") or metric.startswith(MORE_IS_BETTER)


def _kind(metric: str):
    if metric.endswith(READ):
        return intervals.correlation_interval, [metric, _truth_of(metric)]
    if metric == "rank":
        return intervals.median_interval, [metric]
    return intervals.mean_interval, [metric]


def _truth_of(metric: str) -> str:
    return metric.removesuffix(READ) + TRUE


def _name(metric: str) -> str:
    if metric.endswith(READ):
        return metric.removesuffix(READ) + "_r"
    return "median_rank" if metric == "rank" else metric
