"""What codes know that they should not: people in motions, poses in identities."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from xfer.disentangle.codes import Codes
from xfer.disentangle.swaps import draw
from xfer.encoders import DrawsLatents
from xfer.evaluate.judges import Judge, readings
from xfer.metrics import disentanglement as scores
from xfer.metrics.intervals import auc_interval, slope_interval
from xfer.model import Transfer

People = Int[np.ndarray, " n"]


def people_table(
    codes: Mapping[str, Float[np.ndarray, "n _"]], people: People, seed: int = 0
) -> pd.DataFrame:
    """How well codes tell people apart: code, measured, value, low, high.

    value is the chance that two pictures of one person lie closer than two of different people
    (AUC), of people that nothing was taught with; 0.5 is chance. Measured "as it is": by the
    cosines of the code around its mean; "taught": in the directions that tell other people apart;
    "shuffled": the same with rows given to people at random, the control.
    """
    test = scores.held_out_people(people, seed=seed)
    nobody = np.random.default_rng(seed).permutation(people[test])
    rows = []
    for name, code in codes.items():
        taught = scores.telling_people_apart(code, people, test)
        plain = code[test] - code[~test].mean(0)
        asked = {
            "as it is": (plain, people[test]),
            "taught": (taught, people[test]),
            "shuffled": (taught, nobody),
        }
        for measured, (found, shown) in asked.items():
            rows.append((name, measured, *auc_interval(found, shown, seed=seed)))
    return pd.DataFrame(rows, columns=["code", "measured", "value", "low", "high"])


@torch.no_grad()
def pose_table(
    generator: DrawsLatents,
    codes: Codes,
    table: pd.DataFrame,
    judge: Judge,
    factors: Sequence[str],
    seed: int = 0,
) -> pd.DataFrame:
    """What of a result's motion comes from whom: factor, source, value, low, high.

    The judge's reading of every result is explained by the driver's true value and by that of the
    identity's own picture, both at once; value is each one's slope. Perfect transfer has 1 for
    the driver and 0 for the identity, whose slope is leakage.
    """
    found = readings(judge, draw(generator, codes.result))
    people = np.unique(table["person"], return_inverse=True)[1]
    rows = []
    for factor in factors:
        own = table[factor].to_numpy(float)
        sources = {"driver": own[codes.driver], "identity": own}
        read = found.factors[:, judge.names.index(factor)]
        for source, x in sources.items():
            other = next(v for name, v in sources.items() if name != source)
            alone, rest = _without(x, other), _without(read, other)
            rows.append((factor, source, *slope_interval(alone, rest, people, seed=seed)))
    return pd.DataFrame(rows, columns=["factor", "source", "value", "low", "high"])


def angle_table(model: Transfer, codes: Codes, people: People, count: int = 8) -> pd.DataFrame:
    """Angles in W+ between where motion moves latents and where people differ: pair, number, deg.

    Motion: the widest directions that the mapper draws for the drivers' motions, averaged over
    people; identity: the widest among people's mean codes; both of `count` directions. As controls
    two random spaces of the same size, and identity against itself in two halves of the people.
    """
    width = codes.identity[0].numel()
    rng = np.random.default_rng(0)
    mean = _means(codes.identity.flatten(1).double().cpu().numpy(), people)
    half = rng.permutation(len(mean))
    person = model.person(codes.identity[:64])
    matrix = person.response.matrix.mean(0).flatten(0, 1).double().cpu().numpy()
    moved = (codes.h - codes.h.mean(0)).double().cpu().numpy() @ matrix.T
    spaces = {
        "motion and identity": (_widest(moved, count), _widest(mean, count)),
        "identity, two halves": tuple(
            _widest(mean[part], count) for part in np.array_split(half, 2)
        ),
        "random": tuple(rng.standard_normal((width, count)) for _ in range(2)),
    }
    return pd.DataFrame(
        [
            (pair, number, float(angle))
            for pair, (first, second) in spaces.items()
            for number, angle in enumerate(scores.principal_angles_deg(first, second), 1)
        ],
        columns=["pair", "number", "deg"],
    )


def _without(x: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> np.ndarray:
    """What of x a straight line over the other does not say."""
    design = np.stack([np.ones(len(other)), other], axis=1)
    return x - design @ np.linalg.lstsq(design, x, rcond=None)[0]


def _means(codes: Float[np.ndarray, "n width"], people: People) -> Float[np.ndarray, "_ width"]:
    return np.stack([codes[people == name].mean(0) for name in np.unique(people)])


def _widest(codes: Float[np.ndarray, "n width"], count: int) -> Float[np.ndarray, "width _"]:
    _, _, axes = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    return axes[:count].T
