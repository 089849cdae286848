"""Where pose, expression and identity live in latent codes: probes, scores, directions and edits.

A code is `n width`, factors are `n factors`, row by row of the same images. Sources:

    DCI: Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
        Representations", ICLR 2018. MIG: Chen et al., "Isolating Sources of Disentanglement",
        NeurIPS 2018. SAP: Kumar et al., "Variational Inference of Disentangled Latent Concepts",
        ICLR 2018.
    Boundaries: Shen et al., "InterFaceGAN", CVPR 2020: the normal of a linear classifier in W.
    Components: Härkönen et al., "GANSpace", NeurIPS 2020: principal components of W.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from xfer.errors import BadValue
from xfer.metrics import bootstrap
from xfer.shapes import W, WPlus

Code = Float[np.ndarray, "n width"]
Factors = Float[np.ndarray, "n factors"]
Values = Float[np.ndarray, " n"]
People = Int[np.ndarray, " n"]

PENALTIES = np.logspace(0, 6, 7)
RESAMPLES = 400
BINS = 20
"""Of equally many items each, into which continuous numbers are sorted for mutual information."""

Direction = Float[Tensor, " w_dim"]
Edit = Callable[[float], WPlus]
"""An amount to the codes of some people: 0 leaves them as they are."""


class Readings(NamedTuple):
    """What is read in the images of some codes, row by row."""

    factors: Float[np.ndarray, "n n_factors"]
    identity: Float[np.ndarray, "n width"]
    """Codes of a recogniser."""


Read = Callable[[WPlus], Readings]


# What codes know of factors --------------------------------------------------


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

    A code wider than `components` is first brought to its principal components, so that wide and
    narrow codes compare; narrow ones are scored in their own axes. The control is the same code in
    randomly rotated axes: it knows as much, so what is more than that comes from the axes. Columns:
    code, axes ("own" or "rotated"), score, value.
    """
    truth, rows = np.stack(list(labels.values()), axis=1), []
    for code, x in codes.items():
        narrow = StandardScaler().fit_transform(x)
        if x.shape[1] > components:
            narrow = PCA(min(components, len(x)), whiten=True, random_state=seed).fit_transform(x)
        rotation = stats.special_ortho_group.rvs(narrow.shape[1], random_state=seed)
        for axes, y in {"own": narrow, "rotated": narrow @ rotation}.items():
            disentanglement, completeness = dci(importance(y, truth))
            scores = {
                "disentanglement": disentanglement,
                "completeness": completeness,
                "MIG": float(mig(y, truth).mean()),
                "SAP": float(sap(y, truth).mean()),
            }
            rows += [(code, axes, score, value) for score, value in scores.items()]
    return pd.DataFrame(rows, columns=["code", "axes", "score", "value"])


def importance(code: Code, factors: Factors) -> Float[np.ndarray, "width factors"]:
    """How much each number of the code matters to each factor: absolute weights of the lasso."""
    scaled, targets = (StandardScaler().fit_transform(x) for x in (code, factors))
    fits = (LassoCV(cv=3, alphas=12).fit(scaled, column) for column in targets.T)
    return np.abs(np.stack([fit.coef_ for fit in fits], axis=1))


def dci(importance: Float[np.ndarray, "width factors"]) -> tuple[float, float]:
    """Disentanglement and completeness in [0, 1] (Eastwood and Williams, 2018, section 2).

    The first is 1 where every number of the code matters to one factor only, the second where
    every factor is in one number only. Rows and columns count by their share of all importance;
    0 where nothing matters.
    """
    total = max(importance.sum(), 1e-300)
    rows, columns = importance.sum(1) / total, importance.sum(0) / total
    return float(_concentration(importance) @ rows), float(_concentration(importance.T) @ columns)


def mig(code: Code, factors: Factors) -> Float[np.ndarray, " factors"]:
    """Mutual information gap of every factor: between the two best numbers of the code, in parts of
    the factor's entropy (Chen et al., 2018, Eq. 6). In [0, 1]; the score is the mean."""
    codes, labels = ([_binned(column) for column in x.T] for x in (code, factors))
    entropy = np.array([mutual_info_score(label, label) for label in labels])
    shared = [[mutual_info_score(label, column) for column in codes] for label in labels]
    return _gap(np.array(shared)) / np.maximum(entropy, 1e-12)


def sap(code: Code, factors: Factors) -> Float[np.ndarray, " factors"]:
    """Attribute predictability gap of every factor: between the two numbers of the code that
    explain most of its variance, each alone (Kumar et al., 2018). In [0, 1]."""
    c, v = (StandardScaler().fit_transform(x) for x in (code, factors))
    return _gap((v.T @ c / len(c)) ** 2)


def _concentration(x: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """One minus the entropy of every row, in units of the largest possible."""
    if x.shape[1] == 1:
        return np.ones(len(x))
    return 1 - stats.entropy(x + 1e-300, axis=1) / np.log(x.shape[1])


def _gap(scores: Float[np.ndarray, "factors width"]) -> Float[np.ndarray, " factors"]:
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _binned(column: Values) -> Int[np.ndarray, " n"]:
    """The bin of every number; values that few repeat are their own bins."""
    values, index = np.unique(column, return_inverse=True)
    if len(values) <= BINS:
        return index
    edges = np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, column, side="right")


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


# Directions and edits ---------------------------------------------------------


def boundary(w: W, label: Float[Tensor, " n"]) -> Direction:
    """From low to high values of a factor: the normal of the plane between the two outer quarters
    of some samples, as long as the standard deviation of w along it (InterFaceGAN)."""
    if len(w) < 20:
        raise BadValue(f"a boundary requires 20 samples or more; got {len(w)}; sample more w")
    low, high = label.quantile(0.25), label.quantile(0.75)
    rows = (label <= low) | (label >= high)
    centred = ((w[rows] - w.mean(0)) / w.std()).numpy()
    model = LinearSVC(C=0.1, dual="auto", max_iter=20_000, random_state=0)
    model.fit(centred, (label[rows] >= high).numpy())
    normal = F.normalize(torch.from_numpy(model.coef_[0]).to(w), dim=0)
    return normal * ((w - w.mean(0)) @ normal).std()


def components(w: W, count: int = 20) -> Float[Tensor, "count w_dim"]:
    """The widest principal components of w, as long as its standard deviation along them."""
    centred = w - w.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:count]
    return axes * (centred @ axes.T).std(0)[:, None]


def best_component(w: W, label: Float[Tensor, " n"], among: int = 20) -> Direction:
    """The component that correlates best with a factor, towards more of it (GANSpace)."""
    axes = components(w, among)
    along = (w - w.mean(0)) @ axes.T
    r = torch.corrcoef(torch.cat([along.T, label[None].to(along)]))[-1, :-1].nan_to_num()
    best = r.abs().argmax()
    return axes[best] * r[best].sign()


def edit_table(
    edits: Mapping[str, Edit], read: Read, factor: int, wanted: Sequence[float], seed: int = 0
) -> pd.DataFrame:
    """What it costs to change a factor by as much, edit by edit.

    Each edit is scaled by its own response to small amounts, so that all are compared at equal
    motion.

    Args:
        edits: Ways to change the same people's codes, by name.
        factor: Its column in what `read` gives.
        wanted: Changes of the factor, in its unit.

    Returns:
        Columns edit, wanted, what ("reached": mean change of the factor; "identity": distance to
        the code of the unedited person; "others": root mean square change of the other factors, in
        their spreads over the people), value, low, high (95%, over people).
    """
    rows = []
    for name, edit in edits.items():
        before, little = read(edit(0.0)), read(edit(0.5))
        slope = (little.factors - before.factors)[:, factor].mean() / 0.5
        spread = before.factors.std(0).clip(1e-6)
        for change in wanted:
            amount = float(np.clip(change / slope, -8, 8)) if abs(slope) > 1e-9 else 0.0
            after = read(edit(amount))
            moved = after.factors - before.factors
            others = np.delete(moved / spread, factor, axis=1)
            found = {
                "reached": moved[:, factor],
                "identity": np.linalg.norm(after.identity - before.identity, axis=1),
                "others": np.sqrt(np.square(others).mean(1)),
            }
            for what, values in found.items():
                values = values[np.isfinite(values)]
                rows.append((name, change, what, *bootstrap(np.mean, values, draws=400, seed=seed)))
    return pd.DataFrame(rows, columns=["edit", "wanted", "what", "value", "low", "high"])


def swap_table(
    read: Read, first: WPlus, second: WPlus, factors: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """How far images go from `first` to `second` when one style alone is swapped.

    Columns: style (its number, or "all"), what (a factor or "identity"), value, low, high. 0: the
    image stays; 1: this style carries all. For factors the slope of the change over the whole
    difference; for identity the loss of distance to the second person over the whole distance.
    """
    before, after = read(first), read(second)
    whole = after.factors - before.factors
    apart = np.linalg.norm(after.identity - before.identity, axis=1)
    rows = []
    for style in [*range(first.shape[1]), "all"]:
        swapped = first.clone()
        index = slice(None) if style == "all" else style
        swapped[:, index] = second[:, index]
        found = read(swapped)
        for i, name in enumerate(factors):
            slope = bootstrap(
                _slope, whole[:, i], (found.factors - before.factors)[:, i], draws=400, seed=seed
            )
            rows.append((str(style), name, *slope))
        gain = 1 - np.linalg.norm(found.identity - after.identity, axis=1) / apart.clip(1e-9)
        rows.append((str(style), "identity", *bootstrap(np.mean, gain, draws=400, seed=seed)))
    return pd.DataFrame(rows, columns=["style", "what", "value", "low", "high"])


def channel_table(
    styles: Sequence[Float[Tensor, "n _"]], label: Float[Tensor, " n"], count: int = 10
) -> pd.DataFrame:
    """The channels of style space that correlate most with a factor: layer, channel, r."""
    label = (label - label.mean()) / label.std().clamp(min=1e-9)
    rows = []
    for layer, gains in enumerate(styles):
        scaled = (gains - gains.mean(0)) / gains.std(0).clamp(min=1e-9)
        r = (scaled * label[:, None]).mean(0)
        rows += [(layer, channel, float(value)) for channel, value in enumerate(r)]
    table = pd.DataFrame(rows, columns=["layer", "channel", "r"])
    return table.loc[table.r.abs().nlargest(count).index].reset_index(drop=True)


def angles_deg(
    first: Float[Tensor, "count width"], second: Float[Tensor, "count width"]
) -> Float[np.ndarray, " count"]:
    """Principal angles between the spans of two sets of directions, smallest first."""
    return np.degrees(subspace_angles(first.double().T.numpy(), second.double().T.numpy()))[::-1]


def _slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    return float((x * y).sum() / max((x * x).sum(), 1e-12))
