"""Directions of latent space as others find them, and what moves along any direction cost.

Boundaries: Shen et al., "InterFaceGAN", CVPR 2020: the normal of a linear classifier in W.
Components: Härkönen et al., "GANSpace", NeurIPS 2020: principal components of W.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.linalg import subspace_angles
from sklearn.svm import LinearSVC
from torch import Tensor

from xfer.errors import BadValue
from xfer.metrics import bootstrap
from xfer.shapes import W, WPlus

Direction = Float[Tensor, " w_dim"]
Edit = Callable[[float], WPlus]
"""An amount to the codes of some people: 0 leaves them as they are."""


class Readings(NamedTuple):
    """What is read in the images of some codes, row by row."""

    factors: Float[np.ndarray, "n n_factors"]
    identity: Float[np.ndarray, "n width"]
    """Codes of a recogniser."""


Read = Callable[[WPlus], Readings]


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
    return _scaled(w, torch.from_numpy(model.coef_[0]).to(w))


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


def _scaled(w: W, direction: Direction) -> Direction:
    unit = direction / direction.norm()
    return unit * ((w - w.mean(0)) @ unit).std()


def _slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    return float((x * y).sum() / max((x * x).sum(), 1e-12))
