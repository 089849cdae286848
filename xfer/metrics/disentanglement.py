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
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GroupKFold

from xfer.errors import expect

Codes = Float[np.ndarray, "n width"]
Labels = Float[np.ndarray, "n factors"]
People = Int[np.ndarray, " n"]

BINS = 20
"""Of equally many items each, into which continuous numbers are sorted for mutual information."""
PENALTIES = np.logspace(-1, 8, 19)
"""Of ridge regression; the last leaves hardly more than the mean of what was taught."""
FOLDS = 5
"""Parts of the people among which a penalty is chosen."""


def held_out_people(people: People, share: float = 0.3, seed: int = 0) -> Bool[np.ndarray, " n"]:
    """Which rows are kept for testing: all rows of a share of the people, no row of the others."""
    names = np.unique(people)
    count = round(share * len(names))
    expect(
        2 <= count <= len(names) - 2,
        f"two people at least on either side are needed; got {count} of {len(names)} held out",
    )
    return np.isin(people, np.random.default_rng(seed).permutation(names)[:count])


def probe(
    codes: Codes, labels: Labels, people: People, test: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "_ _"]:
    """Labels of the test rows as a ridge regression from the other rows predicts them.

    The penalty of each label is chosen among the other rows by holding people out. By leaving out
    rows it would come out too small: people whose other pictures are known would be recognised
    instead of read, and of somebody new that tells nothing.
    """
    x, known = _standardised(codes, ~test), ~test
    x_known, y_known, groups = x[known], labels[known], people[known]
    count = min(FOLDS, len(np.unique(groups)))
    errors = np.zeros((len(PENALTIES), labels.shape[1]))
    for taught, held in GroupKFold(count).split(x_known, groups=groups):
        path = _ridge_path(x_known[taught], y_known[taught], x_known[held])
        errors += np.square(path - y_known[held]).sum(1)
    path = _ridge_path(x_known, y_known, x[test])
    return np.take_along_axis(path, errors.argmin(0)[None, None], axis=0)[0]


def shuffled_by_person(people: People, seed: int = 0) -> Int[np.ndarray, " n"]:
    """For each row one of another person, whose rows stay together.

    Labels in that order say nothing of their rows, and repeat within a person as before.
    """
    rows = [np.flatnonzero(people == name) for name in np.unique(people)]
    expect(len(rows) >= 2, f"two people at least are needed; got {len(rows)}")
    order = np.random.default_rng(seed).permutation(len(rows))
    out = np.empty(len(people), int)
    for own, other in zip(order, np.roll(order, 1), strict=True):
        out[rows[own]] = np.resize(rows[other], len(rows[own]))
    return out


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


def _ridge_path(
    x: Codes, y: Labels, new: Float[np.ndarray, "rows width"]
) -> Float[np.ndarray, "penalties rows factors"]:
    """What ridge regressions of all penalties, taught with x and y, predict of new rows.

    With x'x = V L V', all centred, the prediction of v is y's mean plus v' V (L + a)^-1 V' x'y.
    Where codes are wider than they are many, xx' has the same values and is smaller.
    """
    own, taught, new = y.mean(0), x - x.mean(0), new - x.mean(0)
    if x.shape[1] > len(x):
        values, axes = np.linalg.eigh(taught @ taught.T)
        along, known = new @ taught.T @ axes, axes.T @ (y - own)
    else:
        values, axes = np.linalg.eigh(taught.T @ taught)
        along, known = new @ axes, axes.T @ taught.T @ (y - own)
    shrunk = along / (values.clip(min=0) + PENALTIES[:, None])[:, None]
    return own + shrunk @ known


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
