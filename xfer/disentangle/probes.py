"""What codes know of factors, as tables with intervals."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import t

from xfer.axes import WPlus
from xfer.disentangle.factors import KINDS, as_columns
from xfer.errors import expect
from xfer.metrics import disentanglement as scores
from xfer.metrics.intervals import DRAWS, Interval

People = Int[np.ndarray, " n"]
Values = Float[np.ndarray, " n"]
COMPONENTS = 32
"""To which codes are brought before numbers of different codes are compared."""
LEAST_WIDTH = 1e-4
"""Of a component, in parts of the widest: narrower ones are rounding errors."""
REDRAWS = 8
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
    labels of somebody else), value (R squared), low, high. Beside the factors stand their kinds
    (`factors.KINDS`), whose R squared is the mean over those of their factors that are asked for.

    Args:
        labels: Of all codes, or by code where they differ.
        factors: Such as vary among the pictures (`factors.varying`).
    """
    test = scores.held_out_people(people, seed=seed)
    shuffle = scores.shuffled_by_person(people, seed)
    draws, members, rows = _draws_of_people(people[test], seed), _members(factors), []
    for name, code in codes.items():
        parts = [as_columns(x, factor) for factor, x in _labels_of(labels, name, factors)]
        truth, widths = np.concatenate(parts, axis=1), [part.shape[1] for part in parts]
        wanted = np.concatenate([truth, truth[shuffle]], axis=1)
        found = scores.probe(code, wanted, people, test)
        halves = (np.split(x, 2, axis=1) for x in (found, wanted[test]))
        for kind, read, true in zip(("true", "shuffled"), *halves, strict=True):
            error, spread = _by_factor(read, true, widths, list(members.values()))
            intervals = zip((*factors, *members), _r2(error, spread, draws), strict=True)
            rows += [(name, factor, kind, *r2) for factor, r2 in intervals]
    return pd.DataFrame(rows, columns=["code", "factor", "labels", "value", "low", "high"])


def best_known(table: pd.DataFrame, factors: Sequence[str], count: int) -> list[str]:
    """Those of the factors that some code of a table knows best, the best first."""
    most = table[table["factor"].isin(factors)].groupby("factor")["value"].max()
    return list(most.nlargest(count).index)


def beyond_chance(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with true labels that tell more than chance: all of their interval lies above 0 and
    above that of the same code and factor with shuffled labels."""
    keys = [name for name in ("code", "style", "factor") if name in table]
    true, shuffled = (table[table["labels"] == kind] for kind in ("true", "shuffled"))
    both = true.merge(shuffled[[*keys, "high"]], on=keys, suffixes=("", "_by_chance"))
    return both[both["low"] > both.pop("high_by_chance").clip(lower=0)]


def layer_table(
    latents: Mapping[str, WPlus],
    labels: pd.DataFrame | Mapping[str, pd.DataFrame],
    factors: Sequence[str],
    people: People,
    seed: int = 0,
) -> pd.DataFrame:
    """`probe_table` of each style of latents alone, with the style's number as a second column."""
    tables = []
    for name, codes in latents.items():
        layers = {str(i): x.double().numpy() for i, x in enumerate(codes.cpu().unbind(1))}
        own = labels if isinstance(labels, pd.DataFrame) else labels[name]
        table = probe_table(layers, own, factors, people, seed).rename(columns={"code": "style"})
        table.insert(0, "code", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


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
        truth = np.stack([x for _, x in _labels_of(labels, name, factors)], axis=1)
        narrow = scores.principal_components(code, min(components, *code.shape))
        wide = narrow.std(0)
        narrow = (narrow / wide.clip(min=1e-300))[:, wide > LEAST_WIDTH * wide.max()]
        for axes, x in {"own": narrow, "turned": scores.rotated(narrow, seed)}.items():
            for score, found in _scores(x, truth, people, seed).items():
                rows.append((name, axes, score, *found))
    return pd.DataFrame(rows, columns=["code", "axes", "score", "value", "low", "high"])


def _labels_of(
    labels: pd.DataFrame | Mapping[str, pd.DataFrame], code: str, factors: Sequence[str]
) -> Iterator[tuple[str, Values]]:
    own = labels if isinstance(labels, pd.DataFrame) else labels[code]
    return ((factor, own[factor].to_numpy(float)) for factor in factors)


def _members(factors: Sequence[str]) -> dict[str, list[bool]]:
    """Which of the factors belong to each kind, for kinds that have any."""
    found = {kind: [factor in own for factor in factors] for kind, own in KINDS.items()}
    return {kind: own for kind, own in found.items() if any(own)}


def _by_factor(
    read: Float[np.ndarray, "rows columns"],
    truth: Float[np.ndarray, "rows columns"],
    widths: Sequence[int],
    members: Sequence[Sequence[bool]],
) -> tuple[Float[np.ndarray, "rows _"], Float[np.ndarray, "rows _"]]:
    """Squared error and spread of every row, factor by factor, then kind by kind.

    Each factor's mean spread is brought to 1, so that all factors of a kind count alike.
    """
    starts = np.cumsum([0, *widths[:-1]])
    error, spread = (
        np.add.reduceat(np.square(x), starts, axis=1) for x in (read - truth, truth - truth.mean(0))
    )
    scale = spread.mean(0)
    expect(scale.all(), "what never changes has no variance to predict")
    kinds = np.array(members, float).reshape(-1, len(widths)).T
    return tuple(np.concatenate([x / scale, x / scale @ kinds], axis=1) for x in (error, spread))


def _draws_of_people(people: People, seed: int) -> Float[np.ndarray, "draws n"]:
    """How often each row is in each draw of people, once for all factors and codes."""
    names, index = np.unique(people, return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)[:, index] * 1.0


def _r2(
    error: Float[np.ndarray, "n columns"],
    spread: Float[np.ndarray, "n columns"],
    draws: Float[np.ndarray, "draws n"],
) -> list[Interval]:
    """What share of the spread is read, column by column, as `intervals.r2_interval` tells it."""
    value = 1 - error.sum(0) / spread.sum(0)
    low, high = np.quantile(1 - (draws @ error) / (draws @ spread), [0.025, 0.975], axis=0)
    return [Interval(*map(float, row)) for row in zip(value, low, high, strict=True)]


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
    # The spread over halves of a sample is about that of the whole sample over samples. Of few
    # draws it is itself not known well, which Student's t allows for.
    reach = t.ppf(0.975, REDRAWS - 1) * table.std(0, ddof=1)
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
