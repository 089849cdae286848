"""Sheets of pictures: what methods make of some trials, and of the best and the worst."""

from collections.abc import Mapping

import pandas as pd
import torch

from xfer.axes import Image
from xfer.baselines import Method
from xfer.evaluate.failures import best_and_worst, case_metric
from xfer.evaluate.table import draw
from xfer.evaluate.trials import Trials
from xfer.figures import Figure, picture_grid

ROWS = 6
"""Trials that are shown of all."""
CASES = 4
"""Of the best and of the worst."""


def methods_sheet(
    methods: Mapping[str, Method], trials: Trials, device: str, title: str, note: str
) -> Figure:
    """A trial a row: driver, identity, and what every method makes of them."""
    rows = torch.linspace(0, len(trials) - 1, min(ROWS, len(trials))).long().tolist()
    few = trials.index(rows)
    shown = _asked(few) | {name: draw(method, few, device) for name, method in methods.items()}
    grid = torch.stack(list(shown.values()), 1).flatten(0, 1)
    return picture_grid(grid, len(shown), column_labels=list(shown), title=title, note=note)


def cases_sheet(
    table: pd.DataFrame, methods: Mapping[str, Method], trials: Trials, device: str, note: str
) -> Figure:
    """A trial a column: the first method's best and worst cases, and what others make of them.

    Args:
        table: As of `evaluate`, with these methods.
    """
    first = next(iter(methods))
    metric = case_metric(table, first)
    chosen = best_and_worst(table, first, metric, CASES)
    cases, half = trials.index(chosen), len(chosen) // 2
    shown = _asked(cases) | {name: draw(method, cases, device) for name, method in methods.items()}
    if cases.driver.truth is not None:
        shown["truth"] = cases.driver.truth
    found = table[(table["method"] == first) & (table["metric"] == metric)]
    numbers = found.set_index("trial").loc[chosen, "value"]
    labels = [f"{'best' if i < half else 'worst'}, {value:.3g}" for i, value in enumerate(numbers)]
    title = f"{first}: best and worst by {metric}"
    return picture_grid(
        torch.cat(list(shown.values())), len(cases),
        column_labels=labels, row_labels=list(shown), title=title, note=note,
    )  # fmt: skip


def _asked(trials: Trials) -> dict[str, Image]:
    return {"driver": trials.driver.picture, "identity": trials.identity}
