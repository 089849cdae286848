"""How well embeddings tell people apart: from cosines and identities to rates.

Terms of biometrics: a pair is accepted when its similarity passes a threshold; rank 1 means that
the right person is the most similar of a gallery.
"""

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import roc_auc_score

from xfer.errors import expect

Embeddings = Float[np.ndarray, "_ width"]
People = Int[np.ndarray, " _"]
Scores = Float[np.ndarray, " _"]


def pair_scores(embeddings: Embeddings, people: People) -> tuple[Scores, Scores]:
    """Cosines of all pairs of one person, and of all pairs of two."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    upper = np.triu_indices(len(unit), k=1)
    cosines = (unit @ unit.T)[upper]
    same = people[upper[0]] == people[upper[1]]
    return cosines[same], cosines[~same]


def auc(same: Scores, different: Scores) -> float:
    """Chance that a pair of one person scores above a pair of two."""
    _some(same, different)
    labels = np.r_[np.ones(len(same)), np.zeros(len(different))]
    return float(roc_auc_score(labels, np.r_[same, different]))


def true_accept_rate(same: Scores, different: Scores, false_accepts: float = 0.01) -> float:
    """Share of same-person pairs above the threshold that `false_accepts` of the others pass."""
    _some(same, different)
    expect(0 < false_accepts < 1, f"false_accepts lies in (0, 1); got {false_accepts}")
    return float((same > accept_threshold(different, false_accepts)).mean())


def accept_threshold(different: Scores, false_accepts: float = 0.01) -> float:
    """The similarity that a share `false_accepts` of different-person pairs exceeds."""
    return float(np.quantile(different, 1 - false_accepts))


def ranks(probes: Embeddings, gallery: Embeddings, owners: People) -> np.ndarray:
    """For each probe the rank, from 1, of its owner's row among the gallery's people.

    Args:
        owners: Row of the gallery that each probe belongs to.
    """
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit(probes) @ unit(gallery).T
    own = cosines[np.arange(len(probes)), owners][:, None]
    return 1 + (cosines > own).sum(1)


def _some(same: Scores, different: Scores) -> None:
    expect(
        len(same) > 0 and len(different) > 0,
        f"pairs of one person and of two are needed; got {len(same)} and {len(different)}",
    )
