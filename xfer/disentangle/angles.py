"""Angles in W+ between where motion moves latents and where people differ."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.linalg
from jaxtyping import Float, Int

from xfer.disentangle.codes import Codes
from xfer.errors import expect
from xfer.metrics.disentanglement import principal_angles_deg
from xfer.model import Transfer

People = Int[np.ndarray, " n"]
Often = Float[np.ndarray, " people"]
"""How often each person counts."""
Space = Float[np.ndarray, "width _"]
Angles = Float[np.ndarray, " count"]
DRAWS = 200
"""Of people, behind the intervals and the controls."""
RESPONSES = 64
"""People at most over whom the mapper's directions are averaged: each has a large matrix."""


def angle_table(
    model: Transfer,
    codes: Codes,
    people: People,
    count: int = 8,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Principal angles between both spaces, smallest first: pair, number, value, low, high.

    Motion: the widest directions that the mapper draws for the drivers' motions, averaged over
    people; identity: the widest among people's mean codes; both of `count` directions. Intervals
    (degrees, as all here) come from drawing people anew.

    Directions learned from few people err, and errors make angles larger: in the limit of many
    people the space of identity stands at 0 to itself. "identity, two halves", between halves of
    the people, tells how much that is; "random", between random spaces of the same size, what
    spaces have that share nothing. Both controls are means over draws.
    """
    names, index = np.unique(people, return_inverse=True)
    expect(len(names) >= 4, f"an angle between spaces needs four people; got {len(names)}")
    width, rng = codes.identity[0].numel(), np.random.default_rng(seed)
    motion = _motion_space(model, codes, index, count)
    identity = _identity_space(codes, index, count)
    once = np.ones(len(names))
    anew = rng.multinomial(len(names), once / len(names), draws).astype(float)
    halves = np.stack([rng.permutation(len(names)) < len(names) // 2 for _ in range(draws)]) * 1.0
    chance = lambda: rng.standard_normal((width, count))
    drawn = {
        "motion and identity": [principal_angles_deg(motion(x), identity(x)) for x in anew],
        "identity, two halves": [
            principal_angles_deg(identity(x), identity(1 - x)) for x in halves
        ],
        "random": [principal_angles_deg(chance(), chance()) for _ in range(draws)],
    }
    found = {pair: np.mean(angles, axis=0) for pair, angles in drawn.items()}
    found["motion and identity"] = principal_angles_deg(motion(once), identity(once))
    rows = [
        (pair, number, *row)
        for pair, angles in drawn.items()
        for number, row in enumerate(_intervals(found[pair], np.stack(angles)), 1)
    ]
    return pd.DataFrame(rows, columns=["pair", "number", "value", "low", "high"])


def _motion_space(
    model: Transfer, codes: Codes, index: People, count: int
) -> Callable[[Often], Space]:
    """The widest directions of motions, as the mapper draws them for people on average."""
    names, first = np.unique(index, return_index=True)
    some = names[:: -(-len(names) // RESPONSES)]
    response = model.person(codes.identity[first[some]]).response.matrix
    drawn, h = response.flatten(1, 2).double().cpu().numpy(), codes.h.double().cpu().numpy()

    def space(often: Often) -> Space:
        mean = drawn[0] if len(drawn) == 1 else np.average(drawn, 0, often[some])
        values, axes = np.linalg.eigh(np.cov(h.T, aweights=often[index]))
        return _widest((mean @ (axes * values.clip(min=0) ** 0.5)).T, count)

    return space


def _identity_space(codes: Codes, index: People, count: int) -> Callable[[Often], Space]:
    """The widest directions among the mean codes of those people that count."""
    flat = codes.identity.flatten(1).double().cpu().numpy()
    means = np.stack([flat[index == i].mean(0) for i in range(index.max() + 1)])
    # All means lie in a space of as many directions as people, where every draw is found sooner.
    _, _, basis = np.linalg.svd(means, full_matrices=False)
    short = means @ basis.T

    def space(often: Often) -> Space:
        centred = (short - np.average(short, 0, often)) * often[:, None] ** 0.5
        return basis.T @ _widest(centred, count)

    return space


def _widest(rows: Float[np.ndarray, "n width"], count: int) -> Space:
    """The first right singular vectors.

    From the smaller of the two square products, which is many times faster than decomposing the
    rows; directions as wide as these lose nothing by the squaring.
    """
    tall = rows.shape[0] >= rows.shape[1]
    products = rows.T @ rows if tall else rows @ rows.T
    edge = len(products)
    _, found = scipy.linalg.eigh(products, subset_by_index=[max(0, edge - count), edge - 1])
    found = found[:, ::-1] if tall else rows.T @ found[:, ::-1]
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-300)


def _intervals(found: Angles, drawn: Float[np.ndarray, "draws count"]) -> list[tuple[float, ...]]:
    """Around what was found, as wide as the draws are: they err to larger angles, so that their
    middle is no guide."""
    reach = 1.96 * drawn.std(0, ddof=1)
    bounds = np.clip([found - reach, found + reach], 0, 90)
    return [tuple(map(float, row)) for row in zip(found, *bounds, strict=True)]
