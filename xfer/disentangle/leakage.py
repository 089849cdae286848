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

    The judge's reading of every result is explained by the driver's true value, by that of the
    identity's own picture, and by those of all pictures in random order, at once; value is each
    one's slope. Perfect transfer has 1 for the driver and 0 for the identity, whose slope is
    leakage; "shuffled", the control, tells which slopes chance gives.
    """
    found = readings(judge, draw(generator, codes.result))
    people = np.unique(table["person"], return_inverse=True)[1]
    chance = np.random.default_rng(seed).permutation(len(people))
    rows = []
    for factor in factors:
        own = table[factor].to_numpy(float)
        sources = {"driver": own[codes.driver], "identity": own, "shuffled": own[chance]}
        read = found.factors[:, judge.names.index(factor)]
        for source, x in sources.items():
            others = [v for name, v in sources.items() if name != source]
            alone, rest = _without(x, others), _without(read, others)
            rows.append((factor, source, *slope_interval(alone, rest, people, seed=seed)))
    return pd.DataFrame(rows, columns=["factor", "source", "value", "low", "high"])


def _without(x: Float[np.ndarray, " n"], others: Sequence[np.ndarray]) -> np.ndarray:
    """What of x a straight line over the others does not say."""
    design = np.stack([np.ones(len(x)), *others], axis=1)
    return x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
