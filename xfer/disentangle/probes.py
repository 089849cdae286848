"""What codes know of factors, as tables with intervals."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from xfer.axes import WPlus
from xfer.metrics import disentanglement as scores
from xfer.metrics.intervals import Interval, r2_interval

People = Int[np.ndarray, " n"]
COMPONENTS = 32
"""To which codes are brought before numbers of different codes are compared."""
REDRAWS = 12
"""Draws of people behind the intervals of scores that must be fitted anew each time."""


def probe_table(
    codes: Mapping[str, Float[np.ndarray, "n _"]],
    labels: pd.DataFrame | Mapping[str, pd.DataFrame],
    factors: Sequence[str],
    people: People,
    seed: int = 0,
) -> pd.DataFrame:
    """How well ridge regression reads each factor from each code, on people not taught with.

    Columns: code, factor, labels ("true", or "shuffled": the control, in which everybody has the
    labels of somebody else), value (R squared), low, high.

    Args:
        labels: Of all codes, or by code where they differ.
    """
    test = scores.held_out_people(people, seed=seed)
    shuffle, rows = scores.shuffled_by_person(people, seed), []
    for name, code in codes.items():
        own = labels if isinstance(labels, pd.DataFrame) else labels[name]
        truth = own[list(factors)].to_numpy(float)
        wanted = np.concatenate([truth, truth[shuffle]], axis=1)
        found = scores.probe(code, wanted, people, test)
        asked = itertools.product(("true", "shuffled"), factors)
        for i, (kind, factor) in enumerate(asked):
            r2 = r2_interval(found[:, i], wanted[test, i], people[test], seed=seed)
            rows.append((name, factor, kind, *r2))
    return pd.DataFrame(rows, columns=["code", "factor", "labels", "value", "low", "high"])


def layer_table(
    latents: WPlus, labels: pd.DataFrame, factors: Sequence[str], people: People, seed: int = 0
) -> pd.DataFrame:
    """`probe_table` of each style of a latent alone; the code is the style's number."""
    layers = {str(i): x.double().numpy() for i, x in enumerate(latents.cpu().unbind(1))}
    table = probe_table(layers, labels, factors, people, seed)
    return table[table["labels"] == "true"].drop(columns="labels").rename(columns={"code": "style"})


def score_table(
    codes: Mapping[str, Float[np.ndarray, "n _"]],
    labels: pd.DataFrame | Mapping[str, pd.DataFrame],
    factors: Sequence[str],
    people: People,
    components: int = COMPONENTS,
    seed: int = 0,
) -> pd.DataFrame:
    """How codes are laid out: disentanglement and completeness (DCI), MIG, SAP.

    Every code is first brought to its widest components, so that wide codes and narrow ones are
    compared alike. Each is scored a second time turned at random, the control: knowledge is the
    same, so what is more than that comes from the axes. Columns: code, axes ("own" or "turned"),
    score, value, low, high.
    """
    rows = []
    for name, code in codes.items():
        own = labels if isinstance(labels, pd.DataFrame) else labels[name]
        truth = own[list(factors)].to_numpy(float)
        narrow = scores.principal_components(code, min(components, *code.shape))
        narrow = narrow / narrow.std(0).clip(min=1e-9)
        for axes, x in {"own": narrow, "turned": scores.rotated(narrow, seed)}.items():
            for score, found in _scores(x, truth, people, seed).items():
                rows.append((name, axes, score, *found))
    return pd.DataFrame(rows, columns=["code", "axes", "score", "value", "low", "high"])


def _scores(
    code: Float[np.ndarray, "n width"],
    truth: Float[np.ndarray, "n factors"],
    people: People,
    seed: int,
) -> dict[str, Interval]:
    value = _once(code, truth)
    rng, names = np.random.default_rng(seed), np.unique(people)
    by_person = {name: np.flatnonzero(people == name) for name in names}
    drawn = []
    for _ in range(REDRAWS):
        # Half of the people, nobody twice: repeated rows would look like knowledge.
        some = rng.choice(names, len(names) // 2, replace=False)
        rows = np.concatenate([by_person[name] for name in some])
        drawn.append(_once(code[rows], truth[rows]))
    table = np.array([list(found.values()) for found in drawn])
    # The spread over halves of a sample is about that of the whole sample over samples.
    reach = 1.96 * table.std(0, ddof=1)
    return {
        name: Interval(found, found - r, found + r)
        for (name, found), r in zip(value.items(), reach, strict=True)
    }


def _once(
    code: Float[np.ndarray, "n width"], truth: Float[np.ndarray, "n factors"]
) -> dict[str, float]:
    laid_out = scores.dci(scores.importance(code, truth))
    return {
        "disentanglement": laid_out.disentanglement,
        "completeness": laid_out.completeness,
        "MIG": float(scores.mig(code, truth).mean()),
        "SAP": float(scores.sap(code, truth).mean()),
    }
