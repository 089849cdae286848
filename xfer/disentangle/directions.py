"""Directions of W for one factor, as others find them, and what edits along them cost.

Boundaries: Shen et al., "InterFaceGAN", CVPR 2020: the normal of a linear classifier in W.
Components: Harkonen et al., "GANSpace", NeurIPS 2020: principal components of W.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.svm import LinearSVC
from torch import Tensor

from xfer.axes import W, WPlus
from xfer.controls import Controls
from xfer.controls.learning import Reader
from xfer.disentangle.swaps import draw
from xfer.encoders import DrawsLatents
from xfer.errors import expect
from xfer.evaluate.judges import Judge, Readings, readings
from xfer.metrics.intervals import mean_interval
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import z_from_seeds

Direction = Float[Tensor, " w_dim"]
Edit = Callable[[float], WPlus]
"""How far to go, about 1 for a usual difference, to the latents of some people."""
FURTHEST = 8.0
"""An edit that hardly acts is not followed into nowhere."""
PROBE = 0.5
"""How far an edit is tried, to learn how far it must go."""
EXTREMES = 0.25
"""Share of samples at either end that a boundary is found between, as InterFaceGAN does."""


@torch.no_grad()
def labelled_samples(
    generator: Generator, reader: Reader, count: int, seed: int = 0
) -> tuple[W, Float[Tensor, "count factors"]]:
    """Random w and what a reader, which judges nothing later, sees in their pictures."""
    z = z_from_seeds(range(seed, seed + count), generator.z_dim)
    w = generator.mapping(z.to(generator.w_mean))
    parts = generator.to_w_plus(w).split(64)
    return w, torch.cat([reader(draw(generator, part)) for part in parts])


def boundary(w: W, label: Float[Tensor, " n"]) -> Direction:
    """The way from low to high values: the normal of the plane between the two extremes, as long as
    w's standard deviation along it."""
    expect(len(w) >= 20, f"a boundary needs some 20 samples at least; got {len(w)}")
    low, high = label.quantile(EXTREMES), label.quantile(1 - EXTREMES)
    rows = (label <= low) | (label >= high)
    centred = (w[rows] - w.mean(0)) / w.std()
    model = LinearSVC(C=0.1, dual="auto", max_iter=20_000, random_state=0)
    model.fit(centred.numpy(), (label[rows] >= high).numpy())
    normal = torch.from_numpy(model.coef_[0]).to(w)
    return _as_wide_as(w, normal / normal.norm())


def component(w: W, label: Float[Tensor, " n"], among: int = 20) -> Direction:
    """Of the widest principal components of w the one that goes with a label best, towards more, as
    long as w's standard deviation along it."""
    centred = w - w.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:among]
    along = centred @ axes.T
    found = torch.corrcoef(torch.cat([along.T, label[None].to(along)]))[-1, :-1].nan_to_num()
    best = found.abs().argmax()
    return _as_wide_as(w, axes[best] * found[best].sign())


def _as_wide_as(w: W, unit: Direction) -> Direction:
    return unit * ((w - w.mean(0)) @ unit).std()


def all_edits(
    model: Transfer,
    controls: Controls,
    factor: str,
    h: Float[Tensor, "n bottleneck"],
    identity: WPlus,
    w: Float[Tensor, "samples w_dim"],
    label: Float[Tensor, " samples"],
) -> dict[str, Edit]:
    """Ways to change a factor of people: by our controls, along a boundary, along a component.

    Args:
        h: The motion that each of the people starts from, for the controls.
        w, label: Samples and what was read in them, for the directions of others.
    """
    person = model.person(identity)
    across, along = boundary(w, label), component(w, label)
    return {
        "controls": lambda amount: model.latents(controls.moved(h, factor, amount), person),
        "boundary": lambda amount: identity + amount * across,
        "component": lambda amount: identity + amount * along,
    }


def edit_table(
    generator: DrawsLatents,
    edits: Mapping[str, Edit],
    factor: str,
    judge: Judge,
    asked: Sequence[float],
    seed: int = 0,
) -> pd.DataFrame:
    """What it costs to change a factor by as much, in the judge's eyes.

    Every edit is first tried by a little, and scaled by what the judge sees, so that all methods
    are asked for the same change. Columns: method, asked (change of the factor, its unit), what,
    value, low, high; `what` is "reached" (mean change), "identity" (cosine with the person
    unedited) or "others" (root mean square change of the other factors, in their spreads over
    the people).
    """
    column = judge.names.index(factor)
    rows = []
    for method, edit in edits.items():
        start = readings(judge, draw(generator, edit(0.0)))
        slope = _slope(generator, edit, judge, column)
        for wanted in asked:
            amount = float(np.clip(wanted / slope, -FURTHEST, FURTHEST)) if slope else 0.0
            found = readings(judge, draw(generator, edit(amount)))
            for what, values in _costs(start, found, column).items():
                rows.append((method, float(wanted), what, *mean_interval(values, seed=seed)))
    return pd.DataFrame(rows, columns=["method", "asked", "what", "value", "low", "high"])


def _slope(generator: DrawsLatents, edit: Edit, judge: Judge, column: int) -> float:
    """The judge's change for one unit of the edit, near its start."""
    up, down = (
        readings(judge, draw(generator, edit(sign * PROBE))).factors[:, column] for sign in (1, -1)
    )
    return float((up - down).mean() / (2 * PROBE))


def _costs(start: Readings, found: Readings, column: int) -> dict[str, np.ndarray]:
    change = found.factors - start.factors
    others = np.delete(change / start.factors.std(0).clip(min=1e-6), column, axis=1)
    return {
        "reached": change[:, column],
        "identity": (found.embeddings * start.embeddings).sum(1),
        "others": np.sqrt((others**2).mean(1)),
    }
