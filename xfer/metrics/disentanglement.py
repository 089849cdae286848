"""How the numbers of a code and the factors of images belong together.

A code is `n width`, factors are `n factors`, row by row of the same images. Sources: DCI (Eastwood
and Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR
2018); MIG (Chen et al., "Isolating Sources of Disentanglement", NeurIPS 2018); SAP (Kumar et al.,
"Variational Inference of Disentangled Latent Concepts", ICLR 2018).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LassoCV

from xfer.errors import BadValue

Codes = Float[np.ndarray, "n width"]
Labels = Float[np.ndarray, "n factors"]
BINS = 20
"""Of equally many items each, into which continuous numbers are sorted for mutual information."""


class DCI(NamedTuple):
    """Both lie in [0, 1]."""

    disentanglement: float
    """1: every number of the code matters to one factor only."""
    completeness: float
    """1: every factor is in one number of the code only."""


def importance(codes: Codes, labels: Labels) -> Float[np.ndarray, "width factors"]:
    """How much each number of the code matters to each factor: absolute weights of the lasso."""
    scaled, targets = _standardised(codes), _standardised(labels)
    fits = (LassoCV(cv=3, alphas=12).fit(scaled, column) for column in targets.T)
    return np.abs(np.stack([fit.coef_ for fit in fits], axis=1))


def dci(importance: Float[np.ndarray, "width factors"]) -> DCI:
    """Disentanglement and completeness (Eastwood and Williams, 2018, section 2).

    Rows and columns count by their share of all importance; 0 where nothing matters.
    """
    total = importance.sum()
    if total <= 0:
        return DCI(0.0, 0.0)
    rows, columns = importance.sum(1), importance.sum(0)
    return DCI(
        float(_concentration(importance) @ rows / total),
        float(_concentration(importance.T) @ columns / total),
    )


def mig(codes: Codes, labels: Labels, bins: int = BINS) -> Float[np.ndarray, " factors"]:
    """Mutual information gap of every factor: between the two best numbers of the code, in parts of
    the factor's entropy (Chen et al., 2018, Eq. 6). In [0, 1]; the score is the mean."""
    sorted_codes, sorted_labels = (_binned(x, bins) for x in (codes, labels))
    entropy = np.array([_shared_information(v[:, None], v)[0] for v in sorted_labels.T])
    shared = np.array([_shared_information(sorted_codes, v) for v in sorted_labels.T])
    return _gap(shared) / np.maximum(entropy, 1e-12)


def _shared_information(
    codes: Int[np.ndarray, "n width"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " width"]:
    """Mutual information of every sorted number with a sorted label, in nats, all in one count."""
    n, width = codes.shape
    bins, kinds = int(codes.max()) + 1, int(label.max()) + 1
    cells = (np.arange(width) * bins + codes) * kinds + label[:, None]
    counts = np.bincount(cells.ravel(), minlength=width * bins * kinds)
    joint = counts.reshape(width, bins, kinds) / n
    apart = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
    ratio = np.where(joint > 0, joint, 1.0) / np.where(joint > 0, apart, 1.0)
    return (joint * np.log(ratio)).sum((1, 2))


def sap(codes: Codes, labels: Labels) -> Float[np.ndarray, " factors"]:
    """Attribute predictability gap of every factor: between the two numbers of the code that
    explain most of its variance, each alone (Kumar et al., 2018). In [0, 1]."""
    c, v = _standardised(codes), _standardised(labels)
    return _gap((v.T @ c / len(c)) ** 2)


def _concentration(x: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """One minus the entropy of every row, in units of the largest possible."""
    if x.shape[1] == 1:
        return np.ones(len(x))
    shares = x / np.maximum(x.sum(1, keepdims=True), 1e-300)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return 1 + (shares * logs).sum(1) / np.log(x.shape[1])


def _gap(scores: Float[np.ndarray, "factors width"]) -> Float[np.ndarray, " factors"]:
    if scores.shape[1] < 2:
        raise BadValue("a gap requires a code of two numbers or more; got a single one")
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _standardised(x: Codes) -> Codes:
    """Zero mean and unit spread, column by column; what never changes becomes 0."""
    spread = x.std(0)
    return np.where(spread > 1e-9, (x - x.mean(0)) / np.maximum(spread, 1e-9), 0.0)


def _binned(x: Codes, bins: int) -> Int[np.ndarray, "n width"]:
    """The bin of every number, column by column; values that few repeat are their own bins."""
    out = np.empty(x.shape, int)
    for i, column in enumerate(x.T):
        values, index = np.unique(column, return_inverse=True)
        if len(values) > bins:
            edges = np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1])
            index = np.searchsorted(edges, column, side="right")
        out[:, i] = index
    return out
