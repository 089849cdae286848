"""The factors of the world, as codes are asked for them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from jaxtyping import Float

from xfer.faceworld.factors import GROUPS, Factor

Values = Float[np.ndarray, " n"]

FACTORS = {factor.name: factor for group in GROUPS.values() for factor in group}
MOTION = tuple(factor.name for factor in GROUPS["motion"])
"""Factors that a driver should give."""
IDENTITY = tuple(factor.name for factor in GROUPS["identity"])
"""Factors that an identity should keep."""
SCENE = tuple(factor.name for factor in GROUPS["scene"])
"""Factors that belong to the identity's picture."""

POSE = ("yaw_deg", "pitch_deg")
"""The pose of an aligned face. Of roll alignment leaves only what neck and shoulders show of it,
which no judge reads; it is asked for, but is of no kind below."""
EXPRESSION = tuple(name for name in MOTION if name not in (*POSE, "roll_deg"))
KINDS = {"pose": POSE, "expression": EXPRESSION, "identity": IDENTITY, "scene": SCENE}

LEAST_SPREAD = 0.01
"""Standard deviation, in parts of a factor's range, below which it counts as constant."""


def varying(table: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Those factors of which pictures show different values; of the others nothing can be read."""
    return [name for name in names if table[name].std() > LEAST_SPREAD * _range(FACTORS[name])]


def as_columns(values: Values, name: str) -> Float[np.ndarray, "n _"]:
    """A factor as numbers that a straight line can follow.

    A hue comes back to itself after one turn, so it is asked for as sine and cosine. Of the options
    of a choice none is more than another: each that occurs is a column of its own, 0 or 1.
    """
    if name.endswith("_hue"):
        turn = np.pi * values  # a whole turn from -1 to 1
        return np.stack([np.sin(turn), np.cos(turn)], axis=1)
    if FACTORS[name].unit == "choice":
        return (values[:, None] == np.unique(values)).astype(float)
    return values[:, None]


def _range(factor: Factor) -> float:
    return factor.high - factor.low
