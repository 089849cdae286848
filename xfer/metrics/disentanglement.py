"""How the numbers of a code and the factors of a world belong together.

A code is `n width`, factors are `n factors`, row by row of the same pictures.

Sources: linear probes (Alain and Bengio, 2017); DCI (Eastwood and Williams, "A Framework for the
Quantitative Evaluation of Disentangled Representations", ICLR 2018); MIG (Chen et al., "Isolating
Sources of Disentanglement", NeurIPS 2018); SAP (Kumar et al., "Variational Inference of
Disentangled Latent Concepts", ICLR 2018).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.metrics import mutual_info_score

from xfer.errors import expect

Codes = Float[np.ndarray, "n width"]
Labels = Float[np.ndarray, "n factors"]
People = Int[np.ndarray, " n"]

BINS = 20
"""Of equally many items each, into which continuous numbers are sorted for mutual information."""
PENALTIES = np.logspace(-1, 6, 15)


def held_out_people(people: People, share: float = 0.3, seed: int = 0) -> Bool[np.ndarray, " n"]:
    """Which rows are kept for testing: all rows of a share of the people, no row of the others."""
    names = np.unique(people)
    count = round(share * len(names))
    expect(
        2 <= count <= len(names) - 2,
        f"two people at least on either side are needed; got {count} of {len(names)} held out",
    )
    return np.isin(people, np.random.default_rng(seed).permutation(names)[:count])


def probe(codes: Codes, labels: Labels, test: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "_ _"]:
    """Labels of the test rows as a ridge regression from the other rows predicts them.

    The penalty of each label is chosen by leave-one-out among the other rows.
    """
    scaled = _standardised(codes, ~test)
    model = RidgeCV(alphas=PENALTIES, alpha_per_target=labels.shape[1] > 1)
    return model.fit(scaled[~test], labels[~test]).predict(scaled[test]).reshape(test.sum(), -1)


def telling_people_apart(
    codes: Codes, people: People, test: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "_ _"]:
    """Test rows in the directions that tell the other rows' people apart best.

    Linear discriminant analysis with a shrunk covariance (Ledoit and Wolf) after whitening, which
    gives faint directions the same chance. Cosines of the result say how much a code knows about
    who somebody is, of people that it was not taught with.
    """
    known = codes[~test]
    whiten = PCA(min(codes.shape[1], len(known) // 4), whiten=True, random_state=0).fit(known)
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
    model.fit(whiten.transform(known), people[~test])
    return model.transform(whiten.transform(codes[test]))


class DCI(NamedTuple):
    """Both lie in [0, 1]."""

    disentanglement: float
    """1: every number of the code matters to one factor only."""
    completeness: float
    """1: every factor is held by one number of the code only."""


def importance(codes: Codes, labels: Labels) -> Float[np.ndarray, "width factors"]:
    """How much each number of the code matters to each factor: absolute weights of the lasso."""
    scaled, wanted = (_standardised(x, np.ones(len(x), bool)) for x in (codes, labels))
    fits = (LassoCV(cv=3, alphas=12).fit(scaled, column) for column in wanted.T)
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
    shared = np.array([[mutual_info_score(c, v) for c in sorted_codes.T] for v in sorted_labels.T])
    entropy = np.array([mutual_info_score(v, v) for v in sorted_labels.T])
    return _gap(shared) / np.maximum(entropy, 1e-12)


def sap(codes: Codes, labels: Labels) -> Float[np.ndarray, " factors"]:
    """Attribute predictability gap of every factor: between the two numbers of the code that
    explain most of its variance, each alone (Kumar et al., 2018). In [0, 1]."""
    c, v = (_standardised(x, np.ones(len(x), bool)) for x in (codes, labels))
    return _gap((v.T @ c / len(c)) ** 2)


def principal_components(codes: Codes, count: int) -> Codes:
    """The code in its `count` widest directions, the widest first."""
    centred = codes - codes.mean(0)
    most = min(codes.shape)
    expect(1 <= count <= most, f"these codes have 1 to {most} components; got {count}")
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:count].T


def rotated(codes: Codes, seed: int = 0) -> Codes:
    """The code turned at random: it knows as much, but no number means what it meant."""
    normal = np.random.default_rng(seed).standard_normal((codes.shape[1],) * 2)
    q, r = np.linalg.qr(normal)
    return codes @ (q * np.sign(np.diag(r)))


def principal_angles_deg(
    first: Float[np.ndarray, "space _"], second: Float[np.ndarray, "space _"]
) -> Float[np.ndarray, " _"]:
    """Angles between the spaces that two sets of columns span, the smallest first (Jordan, 1875).

    0: a common direction; 90: all further directions are at right angles.
    """
    return np.sort(np.rad2deg(subspace_angles(first, second)))


def _concentration(x: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """One minus the entropy of every row, in units of the largest possible."""
    if x.shape[1] == 1:
        return np.ones(len(x))
    shares = x / np.maximum(x.sum(1, keepdims=True), 1e-300)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return 1 + (shares * logs).sum(1) / np.log(x.shape[1])


def _gap(scores: Float[np.ndarray, "factors width"]) -> Float[np.ndarray, " factors"]:
    expect(
        scores.shape[1] >= 2,
        "a gap needs a code of two numbers at least; got one of a single number",
    )
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _standardised(x: Codes, rows: Bool[np.ndarray, " n"]) -> Codes:
    """Zero mean and unit spread on `rows`; what never changes there becomes 0."""
    spread = x[rows].std(0)
    return np.where(spread > 1e-9, (x - x[rows].mean(0)) / np.maximum(spread, 1e-9), 0.0)


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
