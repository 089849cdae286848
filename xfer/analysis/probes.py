"""What latent codes know of factors, with controls and intervals, as tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import special_ortho_group
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from xfer.metrics.bootstrap import bootstrap
from xfer.metrics.disentanglement import dci, importance, mig, sap

Code = Float[np.ndarray, "n width"]
Values = Float[np.ndarray, " n"]
People = Int[np.ndarray, " n"]

PENALTIES = np.logspace(0, 6, 7)
RESAMPLES = 400


def probe_table(
    codes: Mapping[str, Code],
    labels: Mapping[str, Values],
    people: People | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """How well ridge regression reads each factor from each code, on people not fitted on.

    Args:
        codes: By name, row by row of the same images.
        labels: Factors by name.
        people: Who each row shows; by default everybody once.

    Returns:
        Columns code, factor, labels ("true", or "shuffled": the control, where rows have the
        labels of others), value (R squared, five folds), low, high (95%, over people).
    """
    people = np.arange(len(next(iter(labels.values())))) if people is None else people
    names, truth = list(labels), np.stack(list(labels.values()), axis=1)
    shuffled = truth[np.random.default_rng(seed).permutation(len(truth))]
    rows = []
    for code, x in codes.items():
        wanted = np.concatenate([truth, shuffled], axis=1)
        read = _read(x, wanted, people)
        for i, (kind, factor) in enumerate((k, f) for k in ("true", "shuffled") for f in names):
            r2 = bootstrap(_r2, read[:, i], wanted[:, i], people=people, draws=RESAMPLES, seed=seed)
            rows.append((code, factor, kind, *r2))
    return pd.DataFrame(rows, columns=["code", "factor", "labels", "value", "low", "high"])


def score_table(
    codes: Mapping[str, Code], labels: Mapping[str, Values], components: int = 32, seed: int = 0
) -> pd.DataFrame:
    """DCI's disentanglement and completeness, MIG and SAP of codes.

    Every code is first brought to its widest principal components, so that wide and narrow codes
    compare. The control is the same code in randomly rotated axes: it knows as much, so what is
    more than that comes from the axes. Columns: code, axes ("own" or "rotated"), score, value.
    """
    truth, rows = np.stack(list(labels.values()), axis=1), []
    for code, x in codes.items():
        narrow = PCA(min(components, *x.shape), whiten=True, random_state=seed).fit_transform(x)
        rotation = special_ortho_group.rvs(narrow.shape[1], random_state=seed)
        for axes, y in {"own": narrow, "rotated": narrow @ rotation}.items():
            layout = dci(importance(y, truth))
            scores = {
                "disentanglement": layout.disentanglement,
                "completeness": layout.completeness,
                "MIG": float(mig(y, truth).mean()),
                "SAP": float(sap(y, truth).mean()),
            }
            rows += [(code, axes, score, value) for score, value in scores.items()]
    return pd.DataFrame(rows, columns=["code", "axes", "score", "value"])


def _read(
    x: Code, truth: Float[np.ndarray, "n columns"], people: People
) -> Float[np.ndarray, "n columns"]:
    """Predictions of every row by a regression that has not seen its person."""
    scale = x.std(0).mean()
    x = (x - x.mean(0)) / max(scale, 1e-12)
    read = np.empty_like(truth)
    for train, test in GroupKFold(5).split(x, groups=people):
        read[test] = RidgeCV(PENALTIES).fit(x[train], truth[train]).predict(x[test])
    return read


def _r2(read: Values, truth: Values) -> float:
    return 1 - float(
        np.square(read - truth).sum() / max(np.square(truth - truth.mean()).sum(), 1e-12)
    )
